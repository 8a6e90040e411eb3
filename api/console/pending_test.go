package console

import (
	"errors"
	"testing"
	"time"
)

func TestPendingIsGivenAwayOnce(t *testing.T) {
	var p pending[string]
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hold := func(v string) string {
		nonce, _, err := p.hold(now, func(nonce string) (string, error) { return v, nil })
		if err != nil || len(nonce) < 20 {
			t.Fatalf("%q %v", nonce, err)
		}
		return nonce
	}
	one, two := hold("one"), hold("two")
	if one == two {
		t.Error("the same nonce twice")
	}
	if v, ok := p.take(now, one); !ok || v != "one" {
		t.Errorf("%q %v", v, ok)
	}
	if _, ok := p.take(now, one); ok {
		t.Error("given away twice")
	}
	if _, ok := p.take(now, ""); ok {
		t.Error("an empty nonce has something")
	}
	if _, ok := p.take(now.Add(askLasts), two); ok {
		t.Error("it never expires")
	}
	if _, _, err := p.hold(now, func(string) (string, error) { return "", errors.New("no") }); err == nil {
		t.Error("an error is lost")
	}
}

// However many are asked, no more than so many are held, and the newest are.
func TestPendingIsBounded(t *testing.T) {
	var p pending[int]
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	nonces := make([]string, maxPending+10)
	for i := range nonces {
		nonces[i], _, _ = p.hold(now, func(string) (int, error) { return i, nil })
	}
	if len(p.held) != maxPending || len(p.order) != maxPending {
		t.Errorf("%d held, %d in order", len(p.held), len(p.order))
	}
	if _, ok := p.take(now, nonces[0]); ok {
		t.Error("the oldest is held")
	}
	if v, ok := p.take(now, nonces[len(nonces)-1]); !ok || v != len(nonces)-1 {
		t.Errorf("%d %v", v, ok)
	}
	now = now.Add(2 * askLasts)
	if _, _, err := p.hold(now, func(string) (int, error) { return 0, nil }); err != nil || len(p.held) != 1 {
		t.Errorf("%d held after all expired, %v", len(p.held), err)
	}
}
