package console

import (
	"bytes"
	"cmp"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/countersign-dev/countersign/policy/roster"
)

// frame is what every page has around its own.
type frame struct {
	Title  string
	Origin string // of the log
	As     string
	People []string // of the roster, now
	Hidden []field  // the query, for the form that chooses who looks
	Here   bool     // passkeys answer on this address
	There  string   // the page on an address where they do
	Status Status
	Policy string
	Body   any
}

type field struct{ Name, Value string }

// With is a link to a page for whoever looks now.
func (f *frame) With(page string, query ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		if query[i+1] != "" {
			q.Set(query[i], query[i+1])
		}
	}
	if f.As != "" {
		q.Set("as", f.As)
	}
	if len(q) == 0 {
		return Path + page
	}
	return Path + page + "?" + q.Encode()
}

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"short": short, "ago": ago, "stamp": stamp, "plural": plural, "join": strings.Join, "list": listed, "plain": plain, "has": slices.Contains[[]string],
}).ParseFS(files, "templates/*.html"))

// show serves a page. What goes wrong is a page too.
func (s *Console) show(page func(*http.Request, *frame) (string, any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f := s.frame(r)
		name, body, err := page(r, f)
		if err != nil {
			s.Fail(w, r, err)
			return
		}
		f.Body = body
		s.write(w, http.StatusOK, name, f)
	}
}

func (s *Console) write(w http.ResponseWriter, status int, name string, f *frame) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, f); err != nil {
		status = http.StatusInternalServerError
		b.Reset()
		b.WriteString("the page cannot be written")
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// Fail answers with a page that says what is wrong.
func (s *Console) Fail(w http.ResponseWriter, r *http.Request, err error) {
	Protect(w.Header())
	status, kind, message := s.describe(r, err)
	f := s.frame(r)
	f.Title = http.StatusText(status)
	f.Body = map[string]string{"Kind": kind, "Message": message}
	s.write(w, status, "error.html", f)
}

func (s *Console) frame(r *http.Request) *frame {
	set := s.config.Ledger.Policy()
	f := &frame{
		Origin: s.config.Origin, As: r.URL.Query().Get("as"), Here: s.here(r), Status: s.config.Ledger.Status(),
		Policy: set.Name + " version " + strconv.Itoa(set.Version),
	}
	if _, err := s.reviewer(f.As); err != nil {
		f.As = ""
	}
	for _, p := range set.Roster.Principals() {
		if p.Kind == roster.Person && p.Holds(s.config.Now()) {
			f.People = append(f.People, p.ID)
		}
	}
	slices.Sort(f.People)
	for name, values := range r.URL.Query() {
		if name != "as" && len(values) > 0 && len(values[0]) < 1024 {
			f.Hidden = append(f.Hidden, field{name, values[0]})
		}
	}
	slices.SortFunc(f.Hidden, func(a, b field) int { return cmp.Compare(a.Name, b.Name) })
	f.There = s.config.Party.Origins[0] + r.URL.RequestURI()
	return f
}

// home is what waits.
func (s *Console) home(r *http.Request, f *frame) (string, any, error) {
	f.Title = "What waits"
	items, err := s.config.Ledger.Waiting(r.Context(), Query{Person: f.As, Since: s.config.Now().Add(-Recent)})
	if err != nil {
		return "", nil, err
	}
	type row struct {
		Item
		Environments []string
		Link         string
	}
	var rows []row
	for _, i := range items {
		// One change waits for several environments at once.
		at := slices.IndexFunc(rows, func(r row) bool {
			return i.Kind != "release" && r.Kind == i.Kind && r.Repository == i.Repository && r.Change == i.Change && r.Head == i.Head && r.Plan == i.Plan
		})
		if at >= 0 {
			rows[at].Environments = append(rows[at].Environments, i.Environment)
			for _, n := range i.Need {
				if !slices.Contains(rows[at].Need, n) {
					rows[at].Need = append(rows[at].Need, n)
				}
			}
			continue
		}
		var link string
		switch i.Kind {
		case "change":
			link = f.With("change", "repository", i.Repository, "id", i.Change)
		case "plan":
			link = f.With("plan", "repository", i.Repository, "digest", i.Plan)
		default:
			link = f.With("release", "repository", i.Repository, "environment", i.Environment, "artifact", cmp.Or(i.Artifact, i.Commit))
		}
		rows = append(rows, row{i, []string{i.Environment}, link})
	}
	return "home.html", map[string]any{"Items": rows, "Register": f.With("register")}, nil
}

// Recent is how far back the pages look for what waits.
const Recent = 30 * 24 * time.Hour

// need is a parameter without which a page shows nothing.
func need(r *http.Request, names ...string) error {
	for _, name := range names {
		if r.URL.Query().Get(name) == "" {
			return &Fault{http.StatusBadRequest, "MALFORMED", "The address of this page lacks " + name + "=; follow a link from what waits."}
		}
	}
	return nil
}

func quoted(s string) string { return strconv.QuoteToGraphic(s[:min(len(s), 80)]) }

func short(s string) string { return s[:min(len(s), 12)] }

// plain makes text from outside safe to look at: what changes the direction of letters, or
// is not seen at all, could show another name than it is.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// ago is how long ago something was, roughly.
func ago(t, now time.Time) string {
	switch d := now.Sub(t); {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return plural(int(d/time.Minute), "minute") + " ago"
	case d < 48*time.Hour:
		return plural(int(d/time.Hour), "hour") + " ago"
	default:
		return plural(int(d/(24*time.Hour)), "day") + " ago"
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// listed names a few, and how many more there are.
func listed(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + " and " + plural(len(names)-most, "other")
}
