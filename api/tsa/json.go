package tsa

import (
	"crypto"
	"encoding/base64"
	"fmt"
	"math/big"

	"github.com/digitorus/timestamp"
	"github.com/go-json-experiment/json"
)

// jsonHashes are the names that a request in JSON has for the hash algorithms.
var jsonHashes = map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}

// RequestFromJSON reads the request of Sigstore's timestamp authority, which sigstore-js
// sends, and returns it as a TimeStampReq in DER. Unknown and repeated members are
// refused, and a policy, which nobody who asks this way knows.
func RequestFromJSON(text []byte) ([]byte, error) {
	var r struct {
		ArtifactHash  string  `json:"artifactHash"`
		HashAlgorithm string  `json:"hashAlgorithm"`
		Certificates  bool    `json:"certificates"`
		Nonce         *uint64 `json:"nonce"`
	}
	if len(text) > MaxRequest {
		return nil, fmt.Errorf("the request has more than %d bytes", MaxRequest)
	}
	if err := json.Unmarshal(text, &r, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("the request is not one in JSON: %w", err)
	}
	algorithm, ok := jsonHashes[r.HashAlgorithm]
	if !ok {
		return nil, fmt.Errorf("hashAlgorithm: %.40q is not sha256, sha384 or sha512", r.HashAlgorithm)
	}
	sum, err := base64.StdEncoding.Strict().DecodeString(r.ArtifactHash)
	if err != nil || len(sum) != algorithm.Size() {
		return nil, fmt.Errorf("artifactHash: is not %d bytes in base64", algorithm.Size())
	}
	req := timestamp.Request{HashAlgorithm: algorithm, HashedMessage: sum, Certificates: r.Certificates}
	if r.Nonce != nil {
		req.Nonce = new(big.Int).SetUint64(*r.Nonce)
	}
	return req.Marshal()
}
