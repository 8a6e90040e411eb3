package forge

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

func about(number string, kind EventKind) Event {
	return Event{Kind: kind, Repository: "git.example.com/acme/app", Pull: &Pull{Number: number}}
}

func queued(t testing.TB, q *queue, id string, e Event) {
	t.Helper()
	if err := q.add(job{Delivery: id, Body: attest.DigestOf([]byte(id)), Event: e}); err != nil {
		t.Fatal(err)
	}
}

func openAt(t testing.TB, dir string) *queue {
	t.Helper()
	q, err := openQueue(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.close() })
	return q
}

func TestJobsOfOneChangeStayInOrder(t *testing.T) {
	q := openAt(t, t.TempDir())
	queued(t, q, "1", about("7", Reviewed))
	queued(t, q, "2", about("7", Merged))
	queued(t, q, "3", about("8", Merged))
	take := func(now time.Time) string {
		t.Helper()
		j, _ := q.take(now)
		if j == nil {
			return ""
		}
		return j.Delivery
	}
	first, _ := q.take(noon)
	if first.Delivery != "1" {
		t.Fatal(first.Delivery)
	}
	q.later(first, noon.Add(time.Minute))
	if got := take(noon); got != "3" {
		t.Errorf("%s comes while the review of its change waits", got)
	}
	third, _ := q.take(noon)
	if err := q.finish(third, false); err != nil {
		t.Fatal(err)
	}
	if j, wait := q.take(noon); j != nil || wait != time.Minute {
		t.Errorf("%v, in %s", j, wait)
	}
	if got := take(noon.Add(time.Minute)); got != "1" {
		t.Errorf("%q comes after a minute", got)
	}
	if err := q.finish(first, false); err != nil {
		t.Fatal(err)
	}
	if got := take(noon); got != "2" {
		t.Errorf("%q is left", got)
	}
}

// What a crash leaves: a file that is not whole, jobs that wait, a line that is torn.
func TestQueueSurvivesItsProcess(t *testing.T) {
	dir := t.TempDir()
	q := openAt(t, dir)
	queued(t, q, "1", about("7", Reviewed))
	queued(t, q, "2", about("8", Reviewed))
	queued(t, q, "3", about("9", Reviewed))
	j, _ := q.take(noon)
	if err := q.finish(j, false); err != nil {
		t.Fatal(err)
	}
	if j, _ = q.take(noon); j.Delivery != "2" {
		t.Fatal(j.Delivery)
	}
	if err := q.finish(j, true); err != nil {
		t.Fatal(err)
	}
	if err := q.close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"waiting/00000000000000000007.json.new": `{"deli`, "deliveries": "0123"} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	again := openAt(t, dir)
	if j, _ := again.take(noon); j == nil || j.Delivery != "3" || j.Event.Pull.Number != "9" {
		t.Errorf("%+v waits", j)
	}
	if n := again.length(); n != 1 {
		t.Errorf("%v wait", n)
	}
	for _, id := range []string{"1", "2", "3"} {
		if _, seen := again.known(&delivery{id: id, digest: attest.DigestOf([]byte(id))}); !seen {
			t.Errorf("delivery %s is forgotten", id)
		}
	}
	if parked, err := os.ReadDir(filepath.Join(dir, "parked")); err != nil || len(parked) != 1 {
		t.Errorf("%d are parked: %v", len(parked), err)
	}
	queued(t, again, "4", about("1", Reviewed))
	if _, err := os.Stat(filepath.Join(dir, "waiting", "00000000000000000003.json")); err != nil {
		t.Error("the next job takes another's place: ", err)
	}
}

// A merge that waits for reviews lets them go first, also those that come after it.
func TestMergesComeLast(t *testing.T) {
	q := openAt(t, t.TempDir())
	merge := job{Delivery: "1", Event: about("7", Merged), notBefore: noon.Add(time.Second)}
	if err := q.add(merge); err != nil {
		t.Fatal(err)
	}
	queued(t, q, "2", about("7", Reviewed))
	j, _ := q.take(noon)
	if j == nil || j.Delivery != "2" {
		t.Fatalf("%+v comes first", j)
	}
	q.later(j, noon.Add(time.Hour))
	if j, wait := q.take(noon.Add(time.Minute)); j != nil || wait != 59*time.Minute {
		t.Errorf("%+v comes while a review waits, in %s", j, wait)
	}
}

func TestFullQueueRefuses(t *testing.T) {
	q := openAt(t, t.TempDir())
	for i := range maxWaiting { // as if they were on disk
		q.waiting = append(q.waiting, &job{Delivery: strconv.Itoa(i)})
	}
	if err := q.add(job{Delivery: "x", Event: about("1", Reviewed)}); reasonOf(err) != Full {
		t.Errorf("%v", err)
	}
	q.waiting = q.waiting[1:]
	if err := q.add(job{Delivery: "x", Event: about("1", Reviewed)}); err != nil {
		t.Error(err)
	}
}

// From a whole delivery to an event that is on disk.
func BenchmarkReceive(b *testing.B) {
	d, _ := connect(b, GitHub, nil)
	body := example(b, "github/pull_request_review.submitted")
	for i := 0; b.Loop(); i++ {
		body[len(body)-2] = " \n\t\r"[i%4] // each another body
		one := append([]byte(nil), body...)
		for n := i / 4; n > 0; n /= 4 {
			one = append(one, " \n\t\r"[n%4])
		}
		if r, err := d.Receive("hub", fromGitHub(strconv.Itoa(i), "pull_request_review", one), one); err != nil || r.Status != Queued {
			b.Fatal(r, err)
		}
		if i%1000 == 999 {
			b.StopTimer()
			q := d.connections["hub"].queue
			for j, _ := q.take(noon.Add(time.Hour)); j != nil; j, _ = q.take(noon.Add(time.Hour)) {
				if err := q.finish(j, false); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
		}
	}
}
