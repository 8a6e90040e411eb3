// Command issuer is an OpenID Connect provider for tests on loopback: it gives anybody
// a token for any e-mail address. POST /token?email=ALICE answers with one. It speaks
// TLS with a certificate of its own, which it writes to --ca.
package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address, on loopback")
	life := flag.Duration("for", 10*time.Minute, "ends by itself after this")
	ca := flag.String("ca", "issuer.pem", "file for its certificate")
	flag.Parse()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		log.Fatalf("%s is not on loopback", l.Addr())
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	certificate, err := certify(key, *life, *ca)
	if err != nil {
		log.Fatal(err)
	}
	url := "https://" + l.Addr().String()
	time.AfterFunc(*life, func() { log.Fatal("its time is over") })
	fmt.Println(url)
	log.Fatal(http.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}}), handler(url, key)))
}

func certify(key *rsa.PrivateKey, life time.Duration, path string) (tls.Certificate, error) {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer for tests"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(life), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err == nil {
		err = os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func handler(url string, key *rsa.PrivateKey) http.Handler {
	mux := http.NewServeMux()
	answer := func(path string, v any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(v)
		})
	}
	answer("/.well-known/openid-configuration", map[string]any{
		"issuer": url, "jwks_uri": url + "/keys", "authorization_endpoint": url + "/auth", "token_endpoint": url + "/token",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
	})
	answer("/keys", map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1",
		"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": "AQAB",
	}}})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		now, email := time.Now().Unix(), r.URL.Query().Get("email")
		token, err := sign(key, map[string]any{
			"iss": url, "aud": "sigstore", "sub": email, "email": email, "email_verified": true, "iat": now, "exp": now + 300,
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, token)
	})
	return mux
}

// sign makes a JSON Web Token (RFC 7519) with RS256.
func sign(key *rsa.PrivateKey, claims map[string]any) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT","kid":"1"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), err
}
