package planfacts

import (
	"bufio"
	"errors"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/countersign-dev/countersign/attest"
)

// ReadKubernetes reads what kubectl says that it would do: the output of `kubectl
// diff` (unified diff, as the default program prints it), or the lines of a
// server-side dry run. Anything else is refused, with its line.
//
// A kind is kubernetes/KIND or kubernetes/KIND.GROUP in lower case, an address
// KIND.GROUP/NAMESPACE/NAME; a dry run does not say the namespace.
func ReadKubernetes(r io.Reader) (*Facts, error) {
	k := &kubernetesReader{
		lines: bufio.NewScanner(&bounded{r, MaxDiff}),
		facts: &Facts{Source: attest.KubernetesDiff, Tool: attest.OperationTool{Name: "kubectl"}},
	}
	k.lines.Buffer(make([]byte, 0, 64<<10), MaxDiff)
	for k.next() {
		var err error
		switch {
		case k.line == "":
		case strings.HasPrefix(k.line, "diff "):
			err = k.diff()
		default:
			err = k.dryRun()
		}
		if err != nil {
			return nil, err
		}
	}
	if err := k.lines.Err(); errors.Is(err, errTooLong) || errors.Is(err, bufio.ErrTooLong) {
		return nil, k.bad("there are more than %d MiB", MaxDiff>>20)
	} else if err != nil {
		return nil, err
	}
	return k.facts, nil
}

type kubernetesReader struct {
	lines *bufio.Scanner
	line  string
	n     int
	held  bool // line was read and not used yet
	facts *Facts
}

func (k *kubernetesReader) next() bool {
	if k.held {
		k.held = false
		return true
	}
	if !k.lines.Scan() {
		return false
	}
	k.n++
	k.line = k.lines.Text()
	return true
}

func (k *kubernetesReader) bad(format string, args ...any) error {
	return bad("kubectl output, line "+strconv.Itoa(k.n), format, args...)
}

func (k *kubernetesReader) add(op attest.ResourceOperation) error {
	return k.facts.add("kubectl output, line "+strconv.Itoa(k.n), op)
}

var (
	diffLine = regexp.MustCompile(`^diff -u -N (\S+) (\S+)$`)
	hunkLine = regexp.MustCompile(`^@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@`)
)

// diff reads one file of a unified diff. Hunks are read by their counts, so that no
// line of a manifest can pass for a line of the diff. The object is new where the
// live side is empty, and gone where the merged one is.
func (k *kubernetesReader) diff() error {
	m := diffLine.FindStringSubmatch(k.line)
	if m == nil || path.Base(m[1]) != path.Base(m[2]) {
		return k.bad("is not how kubectl diff begins an object (diff -u -N LIVE MERGED)")
	}
	op, ok := diffName(path.Base(m[1]))
	if !ok {
		return k.bad("names no object as GROUP.VERSION.KIND.NAMESPACE.NAME")
	}
	for _, want := range []string{"--- " + m[1], "+++ " + m[2]} {
		if !k.next() || k.line != want && !strings.HasPrefix(k.line, want+"\t") {
			return k.bad("is not the %.3s line of that object", want)
		}
	}
	hunks := 0
	for k.next() {
		h := hunkLine.FindStringSubmatch(k.line)
		if h == nil {
			k.held = true
			break
		}
		hunks++
		live, merged := count(h[2]), count(h[4])
		switch {
		case hunks == 1 && h[1] == "0" && live == 0:
			op.Verb = attest.VerbCreate
		case hunks == 1 && h[3] == "0" && merged == 0:
			op.Verb = attest.VerbDelete
		default:
			op.Verb = attest.VerbUpdate
		}
		if err := k.hunk(live, merged); err != nil {
			return err
		}
	}
	if hunks == 0 {
		return k.bad("the object before it has no differences")
	}
	return k.add(op)
}

func count(s string) int {
	if s == "" {
		return 1
	}
	n, _ := strconv.Atoi(s) // digits, by the pattern
	return n
}

func (k *kubernetesReader) hunk(live, merged int) error {
	for live > 0 || merged > 0 {
		if !k.next() {
			return k.bad("the diff is cut off")
		}
		switch {
		case strings.HasPrefix(k.line, " "), k.line == "":
			live, merged = live-1, merged-1
		case strings.HasPrefix(k.line, "-"):
			live--
		case strings.HasPrefix(k.line, "+"):
			merged--
		case strings.HasPrefix(k.line, `\`):
		default:
			return k.bad("belongs to no hunk")
		}
		if live < 0 || merged < 0 {
			return k.bad("the hunk has more lines than it says")
		}
	}
	if k.next() && !strings.HasPrefix(k.line, `\`) { // no newline at the end
		k.held = true
	}
	return nil
}

// objectName is GROUP.VERSION.KIND.NAMESPACE.NAME, without the group in the core and
// with an empty namespace for what belongs to none. Only a version looks like one
// before a word that begins with a capital.
var objectName = regexp.MustCompile(`^(?:([a-z0-9.-]+)\.)?(v\d+(?:(?:alpha|beta)\d+)?)\.([A-Z][A-Za-z0-9]*)\.([a-z0-9-]*)\.(.+)$`)

func diffName(s string) (attest.ResourceOperation, bool) {
	m := objectName.FindStringSubmatch(s)
	if m == nil {
		return attest.ResourceOperation{}, false
	}
	kind := strings.ToLower(m[3])
	if m[1] != "" {
		kind += "." + m[1]
	}
	address := kind + "/" + m[5]
	if m[4] != "" {
		address = kind + "/" + m[4] + "/" + m[5]
	}
	return attest.ResourceOperation{Kind: "kubernetes/" + kind, Address: address, Module: m[4]}, true
}

// The lines of `kubectl apply`, `replace` and `delete` with --dry-run=server.
var (
	appliedLine = regexp.MustCompile(`^([a-z0-9]+(?:\.[a-z0-9.-]+)?)/(\S+) (created|configured|unchanged|serverside-applied|replaced|pruned|patched|labeled|annotated|scaled) \(server dry run\)$`)
	deletedLine = regexp.MustCompile(`^([a-z0-9]+(?:\.[a-z0-9.-]+)?) "([^"\s]+)" (?:force )?deleted(?: from (\S+) namespace)? \(server dry run\)$`)
)

func (k *kubernetesReader) dryRun() error {
	if m := deletedLine.FindStringSubmatch(k.line); m != nil {
		address := m[1] + "/" + m[2]
		if m[3] != "" {
			address = m[1] + "/" + m[3] + "/" + m[2]
		}
		return k.add(attest.ResourceOperation{Verb: attest.VerbDelete, Kind: "kubernetes/" + m[1], Address: address, Module: m[3]})
	}
	m := appliedLine.FindStringSubmatch(k.line)
	if m == nil {
		return k.bad("is neither a line of kubectl diff nor one of a dry run that asked the server (--dry-run=server)")
	}
	op := attest.ResourceOperation{Kind: "kubernetes/" + m[1], Address: m[1] + "/" + m[2], Verb: attest.VerbUpdate}
	switch m[3] {
	case "unchanged":
		return nil
	case "created":
		op.Verb = attest.VerbCreate
	case "replaced": // with --force it deletes first, and does not say so
		op.Verb = attest.VerbReplace
	case "pruned":
		op.Verb = attest.VerbDelete
	}
	return k.add(op)
}
