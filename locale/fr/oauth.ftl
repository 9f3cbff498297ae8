# Ce que lit une personne qu’un service envoie sceller une action (docs/services.md).
oauth-title = En attente de la clé
oauth-service = Service :
oauth-pending = Votre agent vous demande de sceller cette action. Lisez-la, puis touchez votre clé.
oauth-used = Cette demande a déjà servi. Revenez au service.
oauth-decided = C’est décidé. Vous revenez au service…
oauth-here = Sans agent : lire et sceller l’action dans ce navigateur
oauth-go-on = C’est scellé : continuer
oauth-back = Revenir au service
oauth-used-title = Demande déjà utilisée
oauth-nothing-title = Rien à sceller ici
oauth-nothing = Cette demande n’est pas connue, a déjà servi, ou son temps est écoulé. Revenez au service et recommencez.
