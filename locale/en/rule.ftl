# What a policy demands and has decided, in words: console, check-config, policy test, diff and explain.

rule-says = { $action }: { $what }
rule-says-why = { $action }: { $what } (“{ $why }”)
rule-forbidden = forbidden ({ $reason })
rule-denied = denied ({ $reason })
rule-free = allowed without a key
rule-or = or
rule-and = and
rule-sealed = sealed by { $by }
rule-requester = the requester
rule-others = { $count ->
    [one] one other person ({ $roles })
   *[other] { $count } other persons ({ $roles })
 }
rule-in-all = { $others }, { $count } in all
rule-requester-also = the requester, and { $others }
rule-verified-pin = with PIN and touch
rule-verified-touch = with a touch
rule-key-attested-hardware = by an attested hardware key
rule-key-attested-or-issued = by an attested key, or the card of a known issuer
rule-key-fido2 = by an attested FIDO2 key
rule-key-fido-l1 = by a key of FIDO certification L1 or more
rule-key-fido-l2 = by a key of FIDO certification L2 or more
rule-key-fido-l3 = by a key of FIDO certification L3
rule-key-piv-touch = by a PIV card that wants a touch
rule-within = within { $time }
rule-fresh = used within { $time }
rule-other-workstation = at different workstations
rule-witnessed = { $count ->
    [one] after one witness of the log
   *[other] after { $count } witnesses of the log
 }

## sceau-server policy explain
rule-explained = { $action } at { $service } by { $person }: { $state }
rule-explained-none = no policy decided: nothing permits it, or the server's own rules forbid it
rule-explained-by = by { $policy }: { $says }
rule-explained-words = in words: “{ $words }”
rule-explained-facts = from these facts:
rule-explained-unkept = its text is not kept
rule-explained-unknown = no such action: { $action }

## sceau-server policy test, diff
rule-expected = expected
rule-got = got
rule-decided-by = (by { $policies })
rule-tested = { $cases } cases, { $failed } failed
rule-untested = no case was decided by: { $policies }
rule-compared = { $action }  { $at }  { $kind } at { $service } by { $person }
rule-old = old: { $decision }
rule-new = new: { $decision }
rule-compared-all = { $count } actions of the last { $time }, { $changed } would have been decided otherwise
rule-compared-unknown = ({ $count } older ones have no recorded facts)
