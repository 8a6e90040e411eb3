// Package sigstoreroot says in Sigstore's words what a trust folder says in ours, so
// that clients which know nothing of Countersign verify its receipts and sign into
// its log: a trusted root, and a signing configuration. Both are made of the trust
// folder and of Services, and of nothing else.
package sigstoreroot

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	trustrootv1 "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// Names under which Sigstore's clients ask for the two documents, as targets of a
// TUF repository.
const (
	TrustedRootFile   = "trusted_root.json"
	SigningConfigFile = "signing_config.v0.2.json"
)

// Media types of the versions that are written. Clients refuse others.
const (
	trustedRootType   = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
	signingConfigType = "application/vnd.dev.sigstore.signingconfig.v0.2+json"
)

// TimestampPath is where a ledger answers RFC 3161 requests, below its URL.
const TimestampPath = "/api/v1/timestamp"

// Versions of the services' interfaces, as clients select by them.
const (
	rekorVersion     = 2
	timestampVersion = 1
	fulcioVersion    = 1
	oidcVersion      = 1
)

// TrustedRoot returns the Sigstore TrustedRoot, version 0.1, in JSON: the logs with
// their keys, the frozen ones before this one, the timestamp authorities, and the certificate authorities of the trust
// folder with the keys of their certificate logs. The log's base URL has the origin for its host, whatever the
// services' URL is: clients hold the checkpoint's origin against it.
func TrustedRoot(t *verify.Trust, s Services) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	root := &trustrootv1.TrustedRoot{MediaType: trustedRootType}
	logs := append(slices.Clone(t.Frozen), verify.FrozenLog{Log: t.Log, Validity: t.LogValid}) // this one may not be frozen
	for _, l := range logs {
		log, err := transparencyLog(l.Log, l.Validity, s)
		if err != nil {
			return nil, err
		}
		root.Tlogs = append(root.Tlogs, log)
	}
	stamps := append(slices.Clone(t.Retired), verify.RetiredAuthority{Certificates: t.Timestamps, Until: t.Timestamps[0].NotAfter})
	for _, a := range stamps {
		root.TimestampAuthorities = append(root.TimestampAuthorities, authority(a.Certificates, s.URL+TimestampPath, s.operator(t),
			roster.Validity{From: a.Certificates[0].NotBefore, Until: a.Until}))
	}
	for i, a := range t.Authorities {
		root.CertificateAuthorities = append(root.CertificateAuthorities, authority(a.Certificates, s.fulcioURL(len(t.Authorities)), s.operator(t), a.Validity))
		for _, key := range a.TransparencyLogs {
			c, err := certificateLog(key, s.operator(t), a.Validity)
			if err != nil {
				return nil, fmt.Errorf("trusted root: certificateAuthorities: number %d: transparency: %w", i+1, err)
			}
			root.Ctlogs = append(root.Ctlogs, c)
		}
	}
	return marshal(root)
}

// SigningConfig returns the Sigstore SigningConfig, version 0.2, in JSON: any log of
// the list is enough, which is this one, and so is any timestamp authority, which is
// the ledger's own.
func SigningConfig(t *verify.Trust, s Services) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("signing configuration: %w", err)
	}
	service := func(url string, version uint32, v roster.Validity) *trustrootv1.Service {
		return &trustrootv1.Service{Url: url, MajorApiVersion: version, ValidFor: timeRange(v), Operator: s.operator(t)}
	}
	anyOf := &trustrootv1.ServiceConfiguration{Selector: trustrootv1.ServiceSelector_ANY}
	c := &trustrootv1.SigningConfig{
		MediaType:       signingConfigType,
		RekorTlogUrls:   []*trustrootv1.Service{service(s.URL, rekorVersion, t.LogValid)},
		RekorTlogConfig: anyOf,
		TsaUrls:         []*trustrootv1.Service{service(s.URL+TimestampPath, timestampVersion, t.LogValid)},
		TsaConfig:       anyOf,
	}
	for _, u := range s.Fulcio {
		c.CaUrls = append(c.CaUrls, service(u, fulcioVersion, t.LogValid))
	}
	for _, u := range s.OIDC {
		c.OidcUrls = append(c.OidcUrls, service(u, oidcVersion, t.LogValid))
	}
	return marshal(c)
}

// certificateLog names a log of certificates by its key (RFC 6962 section 3.2); where
// it is, nobody has to know.
func certificateLog(key crypto.PublicKey, operator string, valid roster.Validity) (*trustrootv1.TransparencyLogInstance, error) {
	if p, ok := key.(*ecdsa.PublicKey); !ok || p.Curve != elliptic.P256() {
		return nil, fmt.Errorf("a key of type %T; only ECDSA P-256 is supported", key)
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(spki)
	return &trustrootv1.TransparencyLogInstance{
		HashAlgorithm: commonv1.HashAlgorithm_SHA2_256, Operator: operator, LogId: &commonv1.LogId{KeyId: id[:]},
		PublicKey: publicKey(spki, commonv1.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256, valid),
	}, nil
}

// transparencyLog names the log by all 32 bytes of its id, in both members: clients
// look a receipt up by the one and cut the note's key id off the other.
func transparencyLog(v *tlog.Verifier, valid roster.Validity, s Services) (*trustrootv1.TransparencyLogInstance, error) {
	spki, err := x509.MarshalPKIXPublicKey(v.PublicKey())
	if err != nil {
		return nil, fmt.Errorf("trusted root: key of log %s: %w", v.Origin(), err)
	}
	id := v.LogID()
	operator := s.Operator
	if operator == "" {
		operator = v.Origin()
	}
	return &trustrootv1.TransparencyLogInstance{
		BaseUrl: baseURL(v.Origin(), s.URL), HashAlgorithm: commonv1.HashAlgorithm_SHA2_256, Operator: operator,
		PublicKey: publicKey(spki, commonv1.PublicKeyDetails_PKIX_ED25519, valid),
		LogId:     &commonv1.LogId{KeyId: id[:]}, CheckpointKeyId: &commonv1.LogId{KeyId: id[:]},
	}, nil
}

// baseURL is where the log is, when that is on a host of the log's name; else only
// the name, which is what clients need.
func baseURL(origin, service string) string {
	if u, err := url.Parse(service); err == nil && u.Hostname() == origin {
		u.User = nil
		return u.String()
	}
	return "https://" + origin
}

func authority(chain []*x509.Certificate, url, operator string, valid roster.Validity) *trustrootv1.CertificateAuthority {
	root := chain[len(chain)-1]
	a := &trustrootv1.CertificateAuthority{
		Uri: url, Operator: operator, ValidFor: timeRange(valid),
		Subject:   &commonv1.DistinguishedName{CommonName: root.Subject.CommonName},
		CertChain: &commonv1.X509CertificateChain{},
	}
	if len(root.Subject.Organization) > 0 {
		a.Subject.Organization = root.Subject.Organization[0]
	}
	for _, c := range chain {
		a.CertChain.Certificates = append(a.CertChain.Certificates, &commonv1.X509Certificate{RawBytes: c.Raw})
	}
	return a
}

func publicKey(spki []byte, details commonv1.PublicKeyDetails, v roster.Validity) *commonv1.PublicKey {
	return &commonv1.PublicKey{RawBytes: spki, KeyDetails: details, ValidFor: timeRange(v)}
}

func timeRange(v roster.Validity) *commonv1.TimeRange {
	r := &commonv1.TimeRange{Start: timestamppb.New(v.From.UTC().Truncate(time.Second))}
	if !v.Until.IsZero() {
		r.End = timestamppb.New(v.Until.UTC().Truncate(time.Second))
	}
	return r
}

// marshal prints the same bytes each time, which protojson alone avoids doing.
func marshal(m proto.Message) ([]byte, error) {
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	v := jsontext.Value(text)
	if err := v.Indent(jsontext.WithIndent("  ")); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return append(v, '\n'), nil
}
