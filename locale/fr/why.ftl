# Pourquoi quelque chose fut refusé, prit fin ou ne fut pas cru, tel que le journal le dit par code : why-SUJET-CODE, où SUJET ouvre le type de
# l’inscription. Les motifs des actions refusées sont dans because.ftl, ceux des clés dans console.ftl, ceux des nouvelles clés et cartes dans because.ftl et auprès des verdicts.

## Une approbation qui n’a pas compté
why-approval-response-malformed = la réponse de la clé n’a pas la forme voulue
why-approval-credential-mismatch = une autre clé a répondu que celle qui était demandée
why-approval-client-data-too-long = ce qui est signé avec la réponse de la clé est trop long
why-approval-client-data-not-utf8 = ce qui est signé avec la réponse de la clé n’est pas un texte
why-approval-client-data-not-json = ce qui est signé avec la réponse de la clé est illisible
why-approval-client-data-duplicate-member = ce qui est signé avec la réponse de la clé dit deux fois la même chose
why-approval-client-data-member = il manque quelque chose à ce qui est signé avec la réponse de la clé
why-approval-type-mismatch = la réponse de la clé n’est pas celle à une approbation
why-approval-challenge-mismatch = la clé a signé autre chose que cette action
why-approval-origin-mismatch = signée sur un autre site ou par un autre programme que les nôtres
why-approval-cross-origin = signée dans le cadre d’un autre site
why-approval-top-origin = signée dans une page qui n’a pas le droit d’encadrer les nôtres
why-approval-authenticator-data-truncated = les données de la clé sont coupées
why-approval-authenticator-data-trailing-bytes = les données de la clé sont plus longues qu’elles ne le disent
why-approval-credential-id-length = la clé se nomme d’un nom de longueur impossible
why-approval-credential-public-key-malformed = la clé montre une clé publique illisible
why-approval-extensions-malformed = les ajouts de la clé sont illisibles
why-approval-rp-id-mismatch = la clé a répondu pour un autre serveur
why-approval-user-not-present = personne n’a touché la clé
why-approval-user-not-verified = ni code PIN ni empreinte n’ont été vérifiés
why-approval-backup-state-inconsistent = la clé se dit copiée, et impossible à copier
why-approval-backup-eligibility-changed = la clé dit de sa copie autre chose qu’à l’enrôlement
why-approval-unsupported-algorithm = les signatures de cette sorte ne sont pas vérifiées
why-approval-public-key-malformed = la clé publique enrôlée est illisible
why-approval-signature-invalid = la signature n’est pas celle de cette clé
why-approval-sign-count-regression = le compteur de la clé n’a pas avancé : peut-être une copie
why-approval-sign-count = le compteur de la clé a reculé : peut-être une copie ; la clé est suspendue
why-approval-signature-malformed = la signature de la carte n’a pas la forme voulue
why-approval-unsupported-key = les clés de cette sorte ne signent pas d’approbations
why-approval-key-of-another = la clé est à quelqu’un d’autre
why-approval-key-suspended = la clé est suspendue
why-approval-key-revoked = la clé est révoquée
why-approval-key-waiting = la clé attend la première connexion de sa personne
why-approval-key-kind = la réponse d’une carte pour une clé, ou d’une clé pour une carte
why-approval-metadata-missing = le serveur n’a pas de liste des modèles de clés
why-approval-metadata-stale = la liste des modèles de clés du serveur est en retard
why-approval-self-approval = par la personne même qui l’avait demandée
why-approval-descendant = par quelqu’un dont le compte ou la clé vient de qui demande
why-approval-role = par quelqu’un sans l’un des rôles qui peuvent l’approuver
why-approval-not-requester = par quelqu’un d’autre que la personne qui l’avait demandée
why-approval-not-active = par quelqu’un qui n’est pas actif
why-approval-already-approved = par quelqu’un qui l’avait déjà approuvée
why-approval-same-workstation = depuis le poste où elle fut demandée ou déjà approuvée
why-approval-workstation-unknown = depuis un poste que le serveur ne connaît pas
why-approval-key-without-presence = par une clé qui doit rester branchée et ne s’était pas montrée

## Une connexion refusée ; une session qui a pris fin
why-session-person-inert = la personne n’a pas encore de clé à elle
why-session-person-suspended = la personne est suspendue
why-session-identity-of-another = cette identité chez ProConnect est celle de quelqu’un d’autre
why-session-signed-out = la personne s’est déconnectée
why-session-by-action = fermée par une action scellée
why-session-not-me = la personne a dit d’une de ses demandes : ce n’est pas moi
why-session-presence = sa clé ne se montrait plus

## Une clé qui doit rester branchée
why-presence-away = absente plus longtemps qu’il n’est permis
why-presence-missed = une preuve attendue n’est pas venue
why-presence-removed = retirée
why-presence-key-unable = la clé ne peut pas se montrer
why-presence-key-suspended = la clé fut suspendue
why-presence-refused = la clé refuse d’être interrogée en silence
why-presence-not-silent = la clé veut un toucher à chaque fois
why-presence-u2f = une clé U2F ne peut pas être interrogée en silence
why-presence-card = une carte ne peut pas être interrogée en silence

## Lectures
why-reading-time = le dernier toucher est trop ancien
why-reading-records = autant de dossiers furent lus qu’un toucher en ouvre
why-reading-more-than-a-touch-opens = plus de dossiers à la fois qu’un toucher n’en ouvre

## Alertes
why-alert-too-many-pending = trop de demandes attendent une réponse
why-alert-too-many-asked = trop de demandes en peu de temps
why-alert-too-many-refused = trop de demandes furent refusées
why-alert-unreachable = il est injoignable
why-alert-silent = il n’a pas répondu depuis longtemps
why-alert-rolled-back = il a vu un journal plus avancé que celui-ci
why-alert-forked = il a vu un autre journal que celui-ci

## Actions, outre because.ftl
why-action-person-suspended = La personne qui avait demandé fut suspendue avec une lignée.
why-action-session-suspended = La session qui avait demandé fut suspendue.
why-action-request-expired = Le service qui avait demandé n’a pas attendu la réponse.
why-action-code-replayed = Le code du service fut présenté deux fois : peut-être est-il volé.
why-action-upstream-late = La réponse de l’application n’est pas venue à temps : nul ne sait si ce fut fait. Regardez là-bas.
why-action-upstream-lost = La connexion avec l’application s’est rompue : nul ne sait si ce fut fait. Regardez là-bas.
why-action-forward-auth = Un autre serveur mandataire l’a transmise et ne rend pas compte : nul ne sait si ce fut fait. Regardez là-bas.
why-action-not-reported = Le service n’a pas dit ce qu’il en est advenu. Regardez là-bas.
why-alert-too-many-begotten = plus qu’une action ne peut engendrer
why-oauth-expired = personne n’a répondu à temps
why-provider-role = la personne n’a aucun des rôles que ce service demande

## Une connexion par ProConnect qui ne fut pas crue
why-login-token-malformed = son jeton est illisible
why-login-token-algorithm = son jeton est signé d’une manière non admise
why-login-token-key-unknown = son jeton est signé par une clé inconnue
why-login-token-signature = la signature de son jeton est fausse
why-login-issuer-other = son jeton vient de quelqu’un d’autre
why-login-audience-other = son jeton fut fait pour un autre service
why-login-token-time = son jeton est trop ancien, ou du futur
why-login-nonce-other = son jeton répond à une autre connexion
why-login-acr-too-low = le niveau est trop bas
why-login-amr-missing = elle ne dit pas comment la personne s’est connectée
why-login-idp-not-listed = son fournisseur d’identité n’est pas dans la liste
why-login-subject-other = elle parle de deux personnes différentes
why-login-provider-refused = le fournisseur a refusé
why-login-discovery-malformed = la description que le fournisseur donne de lui-même est illisible
why-login-keys-malformed = les clés du fournisseur sont illisibles
why-login-assertion-not-signed = nous n’avons pas pu signer au fournisseur qui nous sommes
why-login-interrupted = elle fut interrompue
why-login-no-randomness = le système n’a pas donné de hasard
why-login-too-many-log-ins = trop sont en cours
why-login-unavailable = le serveur n’a pas répondu comme il le devrait
why-login-provider-unreachable = le fournisseur est injoignable
why-login-evidence-missing = son fournisseur d’identité n’a donné aucune preuve du toucher
why-login-evidence-of-another = sa preuve est celle d’une autre connexion
why-login-state-other = elle répond à la connexion d’un autre navigateur
why-login-log-in-unknown = personne ne l’a commencée ici, ou il y a trop longtemps

## Une liste des modèles de clés qui ne fut pas prise
why-metadata-too-large = elle est trop grande
why-metadata-not-a-jws = ce n’est pas une liste signée
why-metadata-header-malformed = son en-tête est illisible
why-metadata-algorithm-none = elle n’est pas signée
why-metadata-algorithm-unsupported = elle est signée d’une manière non admise
why-metadata-x5u-refused = elle veut qu’on cherche ses certificats ailleurs
why-metadata-x5c-missing = elle n’apporte pas de certificats
why-metadata-certificate-malformed = un de ses certificats est illisible
why-metadata-leaf-name-mismatch = son signataire n’est pas l’Alliance FIDO
why-metadata-signature-invalid = sa signature est fausse
why-metadata-payload-malformed = ce qu’elle dit est illisible
why-metadata-rollback = elle est plus ancienne que celle en vigueur
