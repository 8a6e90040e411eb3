package policy

// A check is one reason for which Decide gives no credit or denies. Each has a
// name so that a test build can switch exactly that one off, and see that the
// corpus notices. Outside of tests all of them are always on.
type check string

const (
	checkEnvironment   check = "environment"       // only those that the policy names
	checkClock         check = "clock"             // ours is not behind the log's
	checkViewAge       check = "view-age"          // the view is not too old
	checkNegative      check = "negative-readable" // all negative evidence can be read
	checkSigner        check = "signer"            // the key is on the roster
	checkSignerTime    check = "signer-time"       // key and owner were valid when it was logged
	checkMay           check = "may"               // the signer may say such things
	checkSameStatement check = "same-statement"    // signer and payload digest: first index counts
	checkRepository    check = "repository"        // exactly the one that was asked about
	checkOneSource     check = "one-source"        // an artifact has one source commit
	checkRoles         check = "roles"             // the builder does not admit
	checkStartScope    check = "start-scope"       // and for this repository and environment
	checkStartBelow    check = "start-below"       // strictly below the commit
	checkAdmitted      check = "admitted"          // every commit of the range
	checkAgree         check = "admissions-agree"  // on what was reviewed
	checkBase          check = "base-on-target"    // the review starts from the target
	checkReplay        check = "replay"            // the same tree alone binds nothing
	checkReplayProof   check = "replay-proof"      // where git proves the replay, nobody's word counts
	checkBinding       check = "binding"           // the rule accepts how the review became the merge
	checkSubjectTree   check = "subject-tree"      // an approval names the head's own tree
	checkReviewer      check = "reviewer"          // the reviewer is the signer
	checkHuman         check = "human"             // agents and services approve nothing
	checkSelf          check = "self"              // authors do not approve
	checkCommitter     check = "committer"         // committers are authors
	checkCoAuthor      check = "co-author"         // and co-authors
	checkOpener        check = "opener"            // and whoever opened the change
	checkOperator      check = "operator"          // and who runs the agent
	checkHead          check = "head"              // approvals are for this head
	checkChangeID      check = "change-id"         // and this change of those that share it
	checkTarget        check = "target"            // and this branch
	checkScope         check = "scope"             // and this environment
	checkLatest        check = "latest"            // a reviewer's latest word
	checkOlder         check = "older"             // and not one that was signed before it
	checkVeto          check = "veto"              // a rejection denies
	checkRevoked       check = "revoked"           // what was taken back gives no credit
	checkRevoker       check = "revoker"           // only by who may
	checkTiming        check = "timing"            // before the merge where the rule says so
	checkUnbroken      check = "unbroken"          // a no ends what was said before it
	checkAge           check = "age"               // not too old
	checkLevel         check = "level"             // of the level that the slot asks
	checkTeam          check = "team"              // and team
	checkAssurance     check = "assurance"         // and proves enough of who was there
	checkWitness       check = "witness"           // a forge speaks for the accounts of its hosts
	checkOwnFirst      check = "own-first"         // and never over what somebody said themselves
	checkForgeTier     check = "forge-tier"        // and never for the highest tier
	checkExclude       check = "exclude"           // and not one of the excluded roles
	checkDistinct      check = "distinct"          // one person fills one slot
	checkAuthenticated check = "authenticated"     // an unauthenticated author may be an approver
	checkSigns         check = "signs"             // signs of AI in the commits
	checkDeclared      check = "declared"          // anybody's word "ai"
	checkOwnWord       check = "own-word"          // "human" only from the authors themselves
	checkClaimed       check = "claimed"           // claimed facts have the highest tier
	checkRisk          check = "risk"              // an attested tier raises
	checkApplies       check = "applies"           // at least one rule that enforces applies
	checkExpression    check = "expression"        // a rule that fails to evaluate denies
	checkForbid        check = "forbid"            // what a rule forbids
	checkFrozen        check = "frozen"            // what an officer stopped does not go
	checkLift          check = "lift"              // until two of them lift it
	checkEnrolled      check = "enrolled"          // an approver was somebody when the change was made
	checkEffective     check = "effective"         // a rule denies from its date on
	checkRecomputers   check = "recomputers"       // others made the merge again
	checkAvailable     check = "available"         // what a rule asks for and is not there
	checkSaid          check = "said"              // what was said of a plan stays said
	checkDescribed     check = "described"         // a plan is approved after it was known what it does
	checkDerived       check = "derived"           // only a service's reading of a plan is no claim
	checkWhole         check = "whole"             // what nobody lists is the worst
	checkMaker         check = "maker"             // who made a plan says so
	checkOwnLevel      check = "own-level"         // the level of authors who are not authenticated is nobody's
	checkLayout        check = "layout"            // an artifact was made as a rule's layout says
	checkLayoutTime    check = "layout-time"       // which has not expired
	checkLayoutRules   check = "layout-rules"      // of files that went from step to step
	checkFunctionary   check = "functionary"       // by those who answer for the step
	checkThreshold     check = "threshold"         // as many as it asks for, each once
	checkProduct       check = "product"           // and the last step made this artifact
	checkCommand       check = "command"           // with the command that the layout names
	checkPermitted     check = "permitted"         // an agent does only what it was permitted
	checkNewest        check = "newest"            // by the newest word about it
	checkInOrder       check = "in-order"          // which was not held back
	checkGrantor       check = "grantor"           // of somebody who answers for it still
	checkNamed         check = "named"             // and nothing is permitted to an agent that nobody knows
	checkMerger        check = "merger"            // admissions agree on who merged, or it is not known
	checkWorse         check = "worse"             // a plan that turns out worse is approved anew
	checkOwnHand       check = "own-hand"          // what a service says of notes authenticates no author
	checkExceptRule    check = "except-rule"       // exceptions: for this rule
	checkExceptTime    check = "except-time"       // from its beginning to its end
	checkExceptScope   check = "except-scope"      // for this repository and environment
	checkExceptPaths   check = "except-paths"      // and every path of the change
	checkSession       check = "session"           // what a session made that was taken back
	checkAuditHolds    check = "audit-holds"       // what always holds does where a gate audits
	checkGapOwners     check = "gap-owners"        // gaps: by as many owners as a policy set
	checkGapFrom       check = "gap-from"          // from where the record ended
	checkGapScope      check = "gap-scope"         // for this repository and environment
	checkGlassScope    check = "glass-scope"       // break-glass: for this repository and environment
	checkBentHead      check = "bent-head"         // and what was merged is the head that was named
	checkGlassSubject  check = "glass-subject"     // and this artifact, plan or head
	checkGlassTime     check = "glass-time"        // from its beginning to its end
	checkGlassLimit    check = "glass-limit"       // within what the policy allows
	checkGlassUses     check = "glass-uses"        // as often as was granted
	checkGlassPerson   check = "glass-person"      // granted by a person
	checkGlassSelf     check = "glass-self"        // another than who asked
	checkGlassAuthor   check = "glass-author"      // and than who wrote it
	checkGlassLevel    check = "glass-level"       // of the level and team that the policy asks
	checkGlassHolds    check = "glass-holds"       // only rules bend
	checkGlassKeeps    check = "glass-keeps"       // and not those that the policy keeps
	checkGlassReviewed check = "glass-reviewed"    // no review of the team is late
	checkGlassReviewer check = "glass-reviewer"    // and others gave it
	checkGlassSaw      check = "glass-saw"         // after what they review
	checkGlassAsker    check = "glass-asker"       // who asked before owes it in every team
	checkGlassTeam     check = "glass-team"        // other teams are not hindered
	checkIncidents     check = "incidents"         // every incident of the log is seen by the rules that ask
	checkReaches       check = "reaches"           // an incident or a change of no known domain is of any
	checkDives         check = "dives"             // reviews of incidents that are owed
	checkFresh         check = "fresh"             // figures of cohorts that are not too old
	checkOutsider      check = "outsider"          // and by nobody who attests what is judged
	checkWorst         check = "worst"             // of several, the worst
	checkFew           check = "few"               // what is not known makes a rule apply
)

// Checks lists every name.
var checks = [...]check{
	checkEnvironment,
	checkClock,
	checkViewAge,
	checkNegative,
	checkSigner,
	checkSignerTime,
	checkMay,
	checkSameStatement,
	checkRepository,
	checkOneSource,
	checkRoles,
	checkStartScope,
	checkStartBelow,
	checkAdmitted,
	checkAgree,
	checkBase,
	checkReplay,
	checkReplayProof,
	checkBinding,
	checkSubjectTree,
	checkReviewer,
	checkHuman,
	checkSelf,
	checkCommitter,
	checkCoAuthor,
	checkOpener,
	checkOperator,
	checkHead,
	checkChangeID,
	checkTarget,
	checkScope,
	checkLatest,
	checkOlder,
	checkVeto,
	checkRevoked,
	checkRevoker,
	checkTiming,
	checkUnbroken,
	checkAge,
	checkLevel,
	checkTeam,
	checkAssurance,
	checkWitness,
	checkOwnFirst,
	checkForgeTier,
	checkExclude,
	checkDistinct,
	checkAuthenticated,
	checkSigns,
	checkDeclared,
	checkOwnWord,
	checkClaimed,
	checkRisk,
	checkApplies,
	checkExpression,
	checkForbid,
	checkAvailable,
	checkEnrolled,
	checkEffective,
	checkFrozen,
	checkLift,
	checkSaid,
	checkDescribed,
	checkDerived,
	checkWhole,
	checkMaker,
	checkOwnLevel,
	checkOwnHand, checkWorse, checkMerger,
	checkLayout,
	checkLayoutTime,
	checkLayoutRules,
	checkFunctionary,
	checkThreshold,
	checkProduct,
	checkCommand,
	checkPermitted,
	checkNewest,
	checkInOrder,
	checkGrantor,
	checkNamed,
	checkRecomputers,
	checkExceptRule,
	checkExceptTime,
	checkExceptScope,
	checkExceptPaths,
	checkBentHead,
	checkSession,
	checkAuditHolds,
	checkGapOwners,
	checkGapFrom,
	checkGapScope,
	checkGlassScope,
	checkGlassSubject,
	checkGlassTime,
	checkGlassLimit,
	checkGlassUses,
	checkGlassPerson,
	checkGlassSelf,
	checkGlassAuthor,
	checkGlassLevel,
	checkGlassHolds,
	checkGlassKeeps,
	checkGlassReviewed,
	checkGlassReviewer,
	checkGlassSaw,
	checkGlassAsker,
	checkGlassTeam,
	checkIncidents,
	checkReaches,
	checkDives,
	checkFresh,
	checkOutsider,
	checkWorst,
	checkFew,
}

// on reports whether a check is in force.
func (j *judge) on(c check) bool { return !j.in.off[c] }
