package tsa

import (
	"bytes"
	"crypto"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
)

func request(t testing.TB, edit func(*timestamp.Request)) []byte {
	t.Helper()
	sum := crypto.SHA256.New()
	sum.Write([]byte("message"))
	r := &timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: sum.Sum(nil), Certificates: true}
	if edit != nil {
		edit(r)
	}
	text, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRespondSaysWhatWasAsked(t *testing.T) {
	a, _ := authority(t)
	nonce := big.NewInt(0).SetBytes(bytes.Repeat([]byte{0xff}, 32))
	response, granted, err := a.Respond(request(t, func(r *timestamp.Request) { r.Nonce = nonce }), born)
	if err != nil || !granted {
		t.Fatal(granted, err)
	}
	ts, err := timestamp.ParseResponse(response)
	if err != nil {
		t.Fatal(err)
	}
	if ts.Nonce == nil || ts.Nonce.Cmp(nonce) != 0 || !ts.Policy.Equal(PublicPolicy) || len(ts.Certificates) != 1 || !ts.Time.Equal(born) {
		t.Errorf("%+v", ts)
	}
	response, _, err = a.Respond(request(t, func(r *timestamp.Request) { r.Certificates = false }), born)
	if err != nil || bytes.Contains(response, a.chain[0].Raw) {
		t.Errorf("a certificate that nobody asked for, or %v", err)
	}
}

func TestRespondRefuses(t *testing.T) {
	a, _ := authority(t)
	for name, c := range map[string]struct {
		request []byte
		at      time.Time
		why     string
	}{
		"nothing":              {nil, born, "no TimeStampReq"},
		"no request":           {[]byte("stamp"), born, "no TimeStampReq"},
		"more bytes":           {append(request(t, nil), 0), born, "no TimeStampReq"},
		"too large":            {make([]byte, MaxRequest+1), born, "too large"},
		"SHA-1":                {request(t, func(r *timestamp.Request) { r.HashAlgorithm, r.HashedMessage = crypto.SHA1, make([]byte, 20) }), born, "must be SHA-256"},
		"a short imprint":      {request(t, func(r *timestamp.Request) { r.HashedMessage = r.HashedMessage[:31] }), born, "not as long"},
		"the log's own policy": {request(t, func(r *timestamp.Request) { r.TSAPolicyOID = Policy }), born, "only policy"},
		"an extension": {request(t, func(r *timestamp.Request) {
			r.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}}
		}), born, "no extensions"},
		"a large nonce":         {request(t, func(r *timestamp.Request) { r.Nonce = big.NewInt(0).Lsh(big.NewInt(1), maxNonce) }), born, "nonce"},
		"after the certificate": {request(t, nil), born.Add(Lifetime + time.Second), "not valid now"},
	} {
		response, granted, err := a.Respond(c.request, c.at)
		if err != nil || granted {
			t.Errorf("%s: granted %t, %v", name, granted, err)
		}
		_, err = timestamp.ParseResponse(response)
		if err == nil || !strings.Contains(string(response), c.why) {
			t.Errorf("%s: %v, %q; want a refusal that says %q", name, err, response, c.why)
		}
	}
}

func FuzzRespond(f *testing.F) {
	a, _ := authority(f)
	f.Add(request(f, nil))
	f.Add(request(f, func(r *timestamp.Request) { r.Nonce = big.NewInt(-1) }))
	f.Fuzz(func(t *testing.T, req []byte) {
		response, granted, err := a.Respond(req, born)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := timestamp.ParseResponse(response); granted != (err == nil) {
			t.Errorf("granted %t, and clients say %v", granted, err)
		}
	})
}
