"""Why the simulation does not find a mutant: the last column of its table, by the mutant's title.

A break that the seeds of the table do not find has to be here (`tests/mutants/test_simulated.py`). The reasons begin
with one of `KINDS`. A break of a promise that the simulation could meet is no reason: it wants a fault or a check.
"""

from __future__ import annotations

from collections.abc import Mapping

KINDS: Mapping[str, str] = {
    "costs: ": "only cost something",
    "covered: ": "are covered by another clause",
    "elsewhere: ": "take what the simulation has not",
    "seldom: ": "take what happens seldom",
}
"""With the words of the table's opening. costs: no promise breaks; something is slower, or done more often than it need
be. covered: another clause, which is named, keeps the promise in every run here; this one is a second lock on the same
door. elsewhere: it takes what the simulation has not, which is named. seldom: it is known which events it takes."""

NEVER = tuple(KINDS)[:-1]
"""More seeds are not run on these: they would not find them either."""

UNSEEN: Mapping[str, str] = {
    # what others than the loop's own thread would see
    "rule 3: in a hit: don't look whether the window has changed": "elsewhere: hits from other threads; there is one",
    # what an instance decides, and what it knows (freshness, history, decisions, entries, state)
    "rule 2: apply below the horizon": "covered: a proof lifts the horizon above the last version only up to a"
    " revision at which etcd shows no other (rule 4), so what follows by its count lies beyond; another history is"
    " found by the survey of the new stream (rule 7)",
    "rule 3: in a hit: take an entry of a later window": "elsewhere: hits from other threads; on the loop a window is"
    " published before anything else runs, and no entry is validated beyond the horizon",
    "rule 5: fill below the floor": "covered: rule 3 asks again for what was validated below the floor, and the last"
    " known goes by the same revisions; such an entry is useless, and does no harm",
    "rule 5: fill from an earlier epoch": "covered: an answer of an earlier epoch is no proof (rule 4), and only a"
    " proof fills",
    "rule 6: keep loads in flight across a gap": "covered: the floor and the history begin at the survey, so an older"
    " answer shows a forgotten version, and fills nothing; of another history the connections are gone",
    "rule 7: keep loads in flight across a reconnect": "covered: the survey has shown our version at the horizon, so"
    " answers from before are of this very history; of another one the connections are gone, since a restore here"
    " restarts every member",
    "rule 7: apply events of an earlier stream": "covered: the lock-step of counts (rule 2) takes each version once,"
    " whichever stream brings it, and no stream outlives the members, which a restore starts anew",
    "rule 7: take over a survey that came too late": "covered: what it begins from proves nothing by itself; the first"
    " proof compares nonces, and finds another history (rule 8)",
    "rule 8: ignore the cluster id": "covered: a restored cluster with another id shows lower revisions, or another"
    " nonce at the horizon (rules 7 and 8); it would take one that has the very same history",
    "rule 8: ignore a write that was answered by another history": "covered: the next proof, at most B/2 later, is"
    " answered by that history, too, and tells (rule 8)",
    "rule 8: prove by an answer of an earlier epoch": "elsewhere: an answer of a lost history that arrives over a"
    " connection which has outlived it; a restore here restarts every member, and with it ends every connection",
    "rule 9: hit without a slot": "covered: the window is shut when the slot is lost, and no answer opens it without"
    " one (rule 4), so that what is decided is asked of etcd all the same",
    "rule 14: follow a load that is older than the bound": "covered: nobody follows without a proof of now, which"
    " shows that all is applied, nor a load that something applied since has overtaken (rule 14)",
    "rule 17: share a load without a proof of now": "seldom: an instance whose member key was deleted by hand, whose"
    " stream is silent, and whose proofs have had no answer for longer than the bound; then a policy that guards the"
    " key and a write of it, both within the bound of a load that is under way here",
    "rule 18: join a past that has a gap": "covered: a past is read by a watch of the version key alone, whose history"
    " etcd tells without a gap; where the key was deleted, that names everything and demands a reset",
    "rule 18: join a past that does not lead here": "covered: a past is read up to where the memory begins, version by"
    " version (rule 2), and if that has moved meanwhile, or another history was found, it is decided again",
    # who comes, who goes, and who tells of writes from outside
    "rule 9: ignore that the lease has expired": "covered: by each proof, which reads the member key (rule 4), and by "
    "the watch, which tells that it is gone; either ends the hits, and the search for a slot begins anew",
    "rule 9: let every member record departures": "costs: each asks etcd to write down what one has written; the first "
    "record stays",
    "rule 9: keep the place after a claim without an answer": "seldom: whoever waits claims a slot, the answer "
    "is lost, and the revocation of its lease does not reach etcd; then one lease holds two slots, which is looked for",
    "rule 12: trust a stream that has ended": "covered: by the stream itself, which brings acknowledgements and "
    "departures; without one no acknowledgement of a new version comes, and the next one is not trusted at first",
    "rule 12: mistake no members for all members": "covered: by the wait after a departure and after a stream has "
    "begun; whoever may still hit was a member less than the bound ago",
    "rule 12: wait out the departure of an instance that only waited for a slot": "costs: a synchronous write waits "
    "for the bound though nobody may hit; here slots are full only while others hold them, who acknowledge nothing",
    "rule 13: begin with a look at a fleet that is not empty": "seldom: two come to an empty fleet at the same time, "
    "somebody writes past the service what the first has in memory already, the second looks, and the first is lost "
    "before its next audit",
    "rule 9: erase a record when the answer to its write is lost": "seldom: the record is written, and the answer "
    "to just this call is lost, while the revocation after it arrives",
    "rule 12: return without waiting after a departure": "seldom: a slot is taken away from an instance that does not "
    "hear of it, all others acknowledge a synchronous write within the bound, and it holds the key",
    "rule 12: trust a stream that has just begun": "seldom: the same, while the stream of the writer was down",
    "rule 13: compare with a look at another history": "seldom: no version is put from the backup on until an audit in "
    "the other history, which the same instance does, and the fleet is not empty in between",
    "rule 13: forget a finding that could not be told": "seldom: the version of an audit with findings is refused or "
    "lost, and none that says anything follows until the end",
    "rule 13: go on from an audit that a first look has overtaken": "costs: the next audit compares with an older look "
    "than it might, finds all that it has to, and may tell some of it twice",
    "rule 13: hand over a look that no version has followed": "seldom: somebody deletes a document past the service "
    "while the fleet is empty and has no look, the first auditor leaves before any version, a backup from before "
    "the deletion is restored, and another document vanishes",
    "rule 13: hand over a look at a history that was lost": "covered: by the nonce of its version; who goes on from a "
    "look has applied that version, and what there was at it is the same in both histories",
    "rule 10: mistake an answer of a lost history for the fleet's id": "elsewhere: a backup from before the fleet had "
    "its id; all backups here are made of a fleet that has come up, so both histories have the same one",
    "rule 10: read the answer of another question for the fleet's id": "seldom: another history is found while several "
    "requests wait for the id, and one of them asks anew before the others have woken",
    # of writes, batches of reads, policies and guarded keys
    "rule 1: report a group as not done when it is cut short": (
        "elsewhere: a write that outlasts the eight seconds which a stop leaves requests; limits here are three at most"
    ),
    "rule 8: keep the slot of the lost history": (
        "covered: whoever turns back forgets all that it could serve, and every proof reads the member key (rule 9)"
    ),
    "rule 9: go on with a task that was told to stop": (
        "covered: nothing here keeps a cancellation that is meant for its task; each passes it on, and so ends"
    ),
    "rule 9: let the joiner mistake an orderly end for a loss": (
        "seldom: a renewal that falls due in the very turn of the loop in which the stop begins"
    ),
    "rule 14: forget a load when an earlier one, which it displaced, arrives": (
        "costs: readers who come then load the key once more"
    ),
    "rule 14: don't look again before loading": (
        "costs: a reader whose own proof has failed loads the key, though another's proof has come meanwhile"
    ),
    "rule 15: guard more while somebody does not know guarded keys": (
        "elsewhere: an instance of a release that does not know guarded keys; here all do"
    ),
    "rule 16: announce by a lease that may end before the commit": (
        "covered: the commit compares its intent (rule 16): a write whose lease has ended is not done, and says so"
    ),
    "rule 17: hold any number of keys by name": (
        "elsewhere: intents that hold more than 10,000 keys; here they name some hundreds"
    ),
    "rule 17: share a load though another policy is in force": (
        "covered: who writes a key that has just become guarded waits until all hold it, or have no proof of now (rule"
        " 16); neither shares a load"
    ),
    "rule 1: serve on while the group of a put of unknown outcome is on its way": (
        "seldom: a put behind two others of its key, so that its group has more time than itself, where the bound is"
        " above the limit of time; and a read there before the group is over"
    ),
    "rule 6: believe an unproven validation": (
        "seldom: a backup that is restored while an instance asks after an entry, and an answer that comes when its"
        " watch has found out"
    ),
    "rule 8: validate a read that waited for a lane in another history": (
        "seldom: a read that waits for a lane, with an entry in hand, while etcd turns out to be on another history;"
        " one of some hundred seeds"
    ),
    "rule 10: keep the id of the lost history": (
        "elsewhere: a backup of another fleet; the one that is restored here has the id of this one"
    ),
    "rule 15: change what is guarded in one step": (
        "seldom: a write just before the policy that guards its key, and a hit where both are not known yet"
    ),
    "rule 15: send puts together that were agreed to under several policies": (
        "seldom: a policy that comes while a put waits for company, and then a put that is agreed to under the new one"
    ),
    "rule 17: end a hold by what was read before it began": (
        "seldom: a batch that asks for intents, an intent that is put after it was executed and is applied before it is"
        " answered, and a hit before the commit is applied"
    ),
    "rule 17: hold by name when every key is to be held": (
        "seldom: a write between the intent and the commit of a policy that guards its key, and a hit where it is not"
        " known yet"
    ),
    # clients who follow changes, and the past
    "rule 18: forget an older past that somebody waits for": "costs: who waits for it reads it next, alone",
    "rule 18: tell a value from below the floor": (
        "seldom: a client that is ahead of its instance, which misses a compacted gap, and holds a key named in the gap"
    ),
    "rule 18: treat changes missed in a gap as seen": (
        "seldom: more than 100 names in one gap, while a client waits that is ahead of its instance (seed 715066450)"
    ),
    "rule 19: tell by what an audit has found before it": (
        "covered: such a record holds no document, and one that was not kept is not made up"
    ),
    "rule 19: treat a document that was cut short as whole": (
        "elsewhere: a record that somebody has shortened by hand; nobody writes beneath the past here"
    ),
    "rule 19: tell by a record of before history began": (
        "covered: whoever overwrites what has left no record says so, unless it has forgotten those versions"
    ),
    "rule 19: go on with a history that an older release has written past": (
        "seldom: an earlier release's write is overwritten by who has forgotten it, and the lowest slot's has not"
    ),
    "rule 1: report a put as not done though its group was sent": (
        "seldom: an instance that is paused while its put is on its way, until more than the limit of time has passed"
    ),
    "rule 16: announce no precondition": (
        "costs: a guarded write that its precondition refuses is announced and waited for before it is refused"
    ),
    # what the first seeds do not meet
    "rule 1: serve on after an unknown outcome": (
        "seldom: an outcome that nobody knows, an event of it that does not come for a while, and a read there within"
        " the bound, with the key in memory (`test_combined_faults.py` brings them together)"
    ),
    "rule 7: trust any nonce at the horizon": (
        "seldom: a restored history that has reached the horizon when the stream begins anew, and an instance that no"
        " answer has told of it before"
    ),
    "rule 9: count members of another history as lost": (
        "seldom: somebody comes after the backup was made, and whoever has seen it has the lowest slot afterwards"
        " (`test_endings.py`)"
    ),
    "rule 9: list every instance that waits": (
        "seldom: more instances than the fleet shows wait for a slot, in a run that ends with all slots held"
        " (`test_endings.py`)"
    ),
    "rule 10: ignore that a token is from another history": (
        "seldom: a client that comes back with a token which the restored history has not reached"
    ),
    "rule 15: write under a policy that can't be read": (
        "seldom: a policy put by hand that nobody can read, and a put at an instance that has read it before it is"
        " mended (`test_policies.py`)"
    ),
    "rule 15: go by the policy of a history that was lost": (
        "seldom: a backup with another policy, which no version has told of since (`test_stories.py`)"
    ),
    "rule 16: take an intent away once, and not again": (
        "seldom: an intent that arrives when its write was given up, and then a withdrawal without an answer"
    ),
    "rule 18: compare no nonce": (
        "seldom: a follower with a token of a lost history, at an instance whose history has a version at that revision"
    ),
    "rule 18: treat what was known of a token as known in another history": (
        "seldom: two histories that have a version at the same revision, and a token of the lost one that comes back to"
        " an instance that has remembered it"
    ),
}
