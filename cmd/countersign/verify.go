package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
)

type verifying struct {
	environment, repository, trust, pack, repo, baseline, out string
	followed, asOf, cache                                     string
	verbose, plan                                             bool
	deriving
}

func newVerify(a *app) *cobra.Command {
	var f verifying
	c := &cobra.Command{
		Use:   "verify SUBJECT --environment NAME",
		Short: "Tell whether an artifact or commit may go to an environment, or a plan be applied there",
		Long: `SUBJECT is a file, sha256:DIGEST or a full commit id. The answer is ALLOW (exit 0),
DENY (1) or an error (3), with reasons, and who could give what is missing.

With --trust the answer is not believed but found again here: the evidence is fetched
as a pack, every signature, proof and git fact is checked under the pinned keys and
policy, and the decision is made a second time. With --pack the ledger is not asked at
all. With --repo, what CI claims about merges is replayed from a clone.

With --followed, the state folder of "countersign follow --statements" is asked whether the
evidence is all that the log holds about the subject; the verdict then says
"completeness: followed" instead of relying on the operator. Where the log was not followed
far enough, the rest is read first (not with --pack). The verdict itself is the same.

A file named *.tfplan is a plan (--plan says so of others): may it be applied there?
Where terraform or tofu is installed it reads the file, and the answer is no when the
file does something else than was judged.

With --cache, the evidence of an allow is kept, and decided on again while the ledger cannot be
reached: for at most 15 minutes after the state of the log was signed, in environments whose
policy says mode: cachedPass, never for the highest tier or broken glass. The output says "cached".

With --as-of, a decision of the past is repeated: the one at that index, or the last one about
SUBJECT that was logged by that time. It is made again from what the log held then, at the
time and under the policy of then, and must come out the same to the byte.`,
		Example: `  countersign verify app.tar --repository github.com/org/repo --environment production --trust trust
  countersign verify app.tar --repository github.com/org/repo --environment production --trust trust --pack app.pack
  countersign verify sha256:9f86… --repository github.com/org/repo --environment staging
  countersign verify prod.tfplan --repository github.com/org/infra --environment production --trust trust && terraform apply prod.tfplan
  countersign verify app.tar --repository github.com/org/repo --environment production --trust trust --as-of 4711`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.verify(c.Context(), args[0], f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.environment, "environment", "", "where it is to go (needed)")
	fl.StringVar(&f.repository, "repository", os.Getenv("COUNTERSIGN_REPOSITORY"), "repository id, host/path (COUNTERSIGN_REPOSITORY)")
	fl.StringVar(&f.trust, "trust", os.Getenv("COUNTERSIGN_TRUST"), "trust folder: decide again here under its keys (COUNTERSIGN_TRUST)")
	fl.StringVar(&f.pack, "pack", "", "evidence pack: decide from it, without the ledger")
	fl.StringVar(&f.repo, "repo", "", "clone of the repository: replay merges and recompute the range")
	fl.StringVar(&f.baseline, "baseline", "", "policy folder of an auditor, applied instead of the one in force")
	fl.StringVar(&f.out, "out", "", "write the logged decision, signed and with its receipt, to this file")
	fl.StringVar(&f.followed, "followed", "", "state folder of follow --statements: confirm from it that nothing was left out")
	f.deriving.flags(c)
	fl.BoolVar(&f.plan, "plan", false, "SUBJECT is a plan")
	fl.StringVar(&f.asOf, "as-of", "", "index of a logged decision, or a time: repeat the decision of then")
	fl.StringVar(&f.cache, "cache", "", "folder for the evidence of allows: one of at most 15 minutes serves while the ledger cannot be reached, where the policy says cachedPass")
	fl.BoolVar(&f.verbose, "verbose", false, "list everything that was seen and does not count")
	return c
}

func (a *app) verify(ctx context.Context, arg string, f verifying) error {
	if f.environment == "" || f.repository == "" {
		return wrong("--environment and --repository are needed: where is it to go, and where is it from?")
	}
	req := policy.Request{Repository: f.repository, Environment: f.environment}
	if err := subjectOf(&req, arg, f.plan); err != nil {
		return err
	}
	if req.Plan != nil && f.repo != "" {
		return wrong("--repo is for releases: a plan has no merges to replay")
	}
	var err error
	if f.cache != "" && (f.pack != "" || f.asOf != "" || f.baseline != "" || f.followed != "") {
		return wrong("--cache is for asking the ledger: not with --pack, --as-of, --baseline or --followed")
	}
	if (f.pack != "" || f.baseline != "" || f.followed != "" || f.cache != "") && f.trust == "" {
		return wrong("--trust is needed: what is to be believed before anything is looked at?")
	}
	var trust *verify.Trust
	if f.trust != "" {
		if trust, err = loadTrust(f.trust); err != nil {
			return err
		}
	}
	if f.asOf != "" {
		return a.verifyAsOf(ctx, req, trust, f)
	}
	j := judgement{}
	if f.followed != "" {
		if j.followed, err = a.openFollowed(f, trust); err != nil {
			return err
		}
	}
	if f.pack != "" {
		file, err := os.Open(f.pack)
		if err != nil {
			return wrong("--pack: %v", err)
		}
		defer file.Close()
		if j.here, err = a.decideHere(ctx, file, trust, req, f.baseline, j.followed); err != nil {
			return fmt.Errorf("%s: %w", f.pack, err)
		}
	} else if err := a.askOrCached(ctx, req, trust, f, &j); err != nil {
		return err
	}
	return a.conclude(ctx, arg, &j, f)
}

// judgement is what was found out, by the ledger and here.
type judgement struct {
	said *policy.Decision // what the ledger answered
	here *policy.Decision // what was decided here, from evidence
	dry  bool
	pack []byte // that here was decided from, where it was fetched
	// cached is why the ledger was not asked, where the evidence of before served.
	cached string
	nota   string // what became of the signed decision
	// followed is who has followed the log; nil when nobody was asked.
	followed *followedLog
}

// askLedger asks the ledger, and, with a trust folder, checks it.
func (a *app) askLedger(ctx context.Context, req policy.Request, trust *verify.Trust, f verifying, j *judgement) error {
	l, err := a.connect()
	if err != nil {
		return err
	}
	var nonce [16]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return broken("%v", err)
	}
	req.Nonce = hex.EncodeToString(nonce[:])
	msg := &countersignv1.VerifyRequest{Repository: req.Repository, Environment: req.Environment, Nonce: req.Nonce}
	switch {
	case req.Plan != nil:
		msg.Subject = &countersignv1.VerifyRequest_PlanSha256{PlanSha256: req.Plan.String()}
	case req.Artifact != nil:
		msg.Subject = &countersignv1.VerifyRequest_ArtifactSha256{ArtifactSha256: req.Artifact.String()}
	default:
		msg.Subject = &countersignv1.VerifyRequest_Commit{Commit: string(req.Commit)}
	}
	call, cancel := a.within(ctx)
	defer cancel()
	resp, err := l.verifier.Verify(call, connect.NewRequest(msg))
	if err != nil {
		return err
	}
	if j.said, err = policy.ParseDecision(resp.Msg.Decision); err != nil {
		return broken("the ledger's decision is not readable: %v", err)
	}
	j.dry = resp.Msg.DryRun
	if err := answers(&j.said.Core, req); err != nil {
		return err
	}
	if len(resp.Msg.DecisionBundle) > 0 {
		if err := a.keepDecision(resp.Msg.DecisionBundle, j, trust, f.out); err != nil {
			return err
		}
	}
	if trust == nil {
		return nil
	}
	pack, err := a.fetchPack(call, l, req, 0)
	if err != nil {
		return err
	}
	return a.decideFetched(ctx, pack, trust, req, f, j)
}

// answers holds a decision against the question: a replayed or misdirected one is refused.
func answers(c *policy.Core, req policy.Request) error {
	artifact, plan := "", ""
	if req.Artifact != nil {
		artifact = req.Artifact.String()
	}
	if req.Plan != nil {
		plan = req.Plan.String()
	}
	switch {
	case c.Nonce != req.Nonce:
		return broken("REPLAY: the decision answers another request (nonce %.40q)", c.Nonce)
	case c.Artifact != artifact || c.Plan != plan || req.Commit != "" && c.To != string(req.Commit):
		return broken("REPLAY: the decision is about another subject")
	case c.Environment != req.Environment || c.Repository != req.Repository:
		return broken("WRONG_SCOPE: the decision is about %s to %s", c.Repository, c.Environment)
	}
	return nil
}

// keepDecision checks the signed decision that the ledger logged, and writes it.
func (a *app) keepDecision(text []byte, j *judgement, trust *verify.Trust, out string) error {
	b, err := attest.ParseBundle(text)
	if err != nil {
		return broken("the signed decision is not readable: %v", err)
	}
	if trust != nil {
		if err := trust.Service.Verify(b.PAE(), b.Signature); err != nil {
			return lied("the decision is not signed by the service that the trust folder pins: %v", err)
		}
	}
	j.nota = fmt.Sprintf("decision sha256:%s logged", b.Digest())
	if b.Receipt != nil {
		j.nota += fmt.Sprintf(" at #%d", b.Receipt.Index)
	}
	if out != "" {
		if err := os.WriteFile(out, text, 0o644); err != nil {
			return wrong("%v", err)
		}
	}
	return nil
}

// decideHere makes the decision from a pack, believing only the trust folder.
func (a *app) decideHere(ctx context.Context, pack interface{ Read([]byte) (int, error) }, trust *verify.Trust, req policy.Request, baseline string, followed *followedLog) (*policy.Decision, error) {
	src, err := verify.OpenPack(pack, trust)
	if err != nil {
		return nil, classifyEvidence(err)
	}
	h, err := policy.ReadHistory(ctx, src, trust, false)
	if err != nil {
		return nil, classifyEvidence(err)
	}
	in := policy.Input{History: h, Trust: trust, Request: req, Now: a.now()}
	config := verify.Config{Trust: trust, Roster: h.Latest().Set.Roster, Roll: h}
	if baseline != "" {
		set, err := policy.ReadFolder(baseline)
		if err != nil {
			return nil, err
		}
		in.History, in.Set = nil, set
		config.Roster, config.Roll = set.Roster, nil
	}
	if followed != nil {
		config.Following = followed
	}
	v, err := verify.New(config)
	if err != nil {
		return nil, broken("%v", err)
	}
	d, _, err := policy.Judge(ctx, src, v, in)
	if err != nil {
		return nil, classifyEvidence(err)
	}
	return d, nil
}

// conclude prints the result. Only an allow that nothing contradicts is exit 0.
func (a *app) conclude(ctx context.Context, arg string, j *judgement, f verifying) error {
	d := j.here
	if d == nil {
		d = j.said
	}
	var recomputed error
	if f.repo != "" {
		recomputed = a.recompute(ctx, f.repo, &d.Core)
	}
	contradicted := f.baseline == "" && j.here != nil && j.said != nil && j.said.Core.Verdict.Opens() && !j.here.Core.Verdict.Opens()
	if d.Core.Plan != "" && d.Core.Verdict.Opens() {
		recomputed = a.recomputePlan(ctx, arg, &d.Core, f.deriving)
	}
	if a.json() {
		out := map[string]any{"decision": d, "checkedHere": j.here != nil, "dryRun": j.dry, "contradicted": contradicted, "note": j.nota}
		if j.followed != nil && j.followed.why != nil {
			out["notFollowed"] = j.followed.why.Error()
		}
		if j.cached != "" {
			out["cached"] = j.cached
		}
		if recomputed != nil {
			out["recompute"] = recomputed.Error()
		}
		if err := a.writeJSON(out); err != nil {
			return err
		}
	} else {
		a.render(d, f.verbose)
		a.sayChecked(j, f.baseline)
	}
	switch {
	case contradicted:
		return lied("the ledger says allow, and the evidence that it gave does not")
	case recomputed != nil:
		return recomputed
	case d.Core.Verdict.Opens() && d.Core.Verdict != policy.AllowBreakGlass && !d.Annex.Posture.DryRun:
		return nil
	case d.Core.Verdict == policy.AllowBreakGlass && !j.dry: // a dry run is no use that anybody counts
		return nil
	case d.Core.Verdict == policy.Error:
		return silent(exitBroken)
	}
	return silent(exitNo)
}

func (a *app) sayChecked(j *judgement, baseline string) {
	if j.cached != "" {
		a.printf("%s  the ledger was not asked: %s\n        decided again from the evidence of %s, which serves until %s\n", a.red("cached"), strings.ReplaceAll(j.cached, "\n", " "),
			j.here.Core.Log.Time.Format(time.RFC3339), j.here.Core.Log.Time.Add(maxCached).Format(time.RFC3339))
		return
	}
	switch {
	case j.here != nil && j.said != nil && baseline != "":
		a.printf("decided here under the policy of %s; under the one in force the ledger says %s\n", baseline, j.said.Core.Verdict)
	case j.here != nil && j.said != nil:
		a.printf("checked here: evidence, proofs and git facts, under the trust folder; same verdict: %v\n", j.here.Core.Verdict == j.said.Core.Verdict)
	case j.here != nil:
		a.printf("checked here, without the ledger; inclusion proves presence, not that nothing came after size %d\n", j.here.Core.Log.Size)
	default:
		a.printf("%s\n", a.faint("the ledger's word, not checked here; add --trust DIR to decide again from evidence"))
	}
	if j.followed != nil && j.followed.why != nil {
		a.printf("that the evidence is complete is the operator's word: %v\n", j.followed.why)
	}
	if j.dry {
		a.printf("%s\n", a.faint("dry run: the asker is no gate of this environment, so nothing was logged"))
	}
	if j.nota != "" {
		a.printf("%s\n", j.nota)
	}
}
