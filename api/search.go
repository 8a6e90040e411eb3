package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"sort"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// Limits of one page.
const (
	maxPage     = 1000
	defaultPage = 100
	// maxScan bounds the entries that one page looks at; a page may come back
	// short, or empty, with a token to go on from.
	maxScan = 20_000
)

// Search finds entries page by page.
func (s *ledgerService) Search(ctx context.Context, req *connect.Request[countersignv1.SearchRequest]) (*connect.Response[countersignv1.SearchResponse], error) {
	answer, err := s.search(ctx, req.Msg)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return connect.NewResponse(answer), nil
}

func (s *ledgerService) search(ctx context.Context, req *countersignv1.SearchRequest) (*countersignv1.SearchResponse, error) {
	f, err := s.filter(req)
	if err != nil {
		return nil, err
	}
	limit := int(cmp.Or(req.PageSize, defaultPage))
	if limit > maxPage {
		return nil, malformed("pageSize: %d is more than %d", req.PageSize, maxPage)
	}
	at, err := s.startOf(ctx, req)
	if err != nil {
		return nil, err
	}
	out := &countersignv1.SearchResponse{TreeSize: at.size}
	next, size := at.next, 0
	for scanned := 0; len(out.Entries) < limit && scanned < maxScan && next < at.until; scanned++ {
		index, ok, err := f.next(ctx, s.ledger, next, at.until)
		if err != nil {
			return nil, err
		}
		if !ok {
			next = at.until
			break
		}
		next = index + 1
		r, err := s.ledger.Record(ctx, index)
		if err != nil {
			return nil, err
		}
		if !f.holds(r.Keys) {
			continue
		}
		e := s.describeEntry(&r)
		if req.WithBundles {
			e.Bundle = r.Body
		}
		if size += proto.Size(e); size > attest.MaxRequest && len(out.Entries) > 0 {
			next = index // it begins the next page
			break
		}
		out.Entries = append(out.Entries, e)
	}
	if next < at.until {
		at.next = next
		out.NextPageToken = at.token(req)
	}
	return out, nil
}

// A filter is a question in search keys: any of one list, and all of another.
type filter struct {
	any   []string // the entry is found under one of these
	all   []string // and under every one of these
	leads []lead   // through any
}

func (s *ledgerService) filter(req *countersignv1.SearchRequest) (*filter, error) {
	f := &filter{}
	if req.Subject != "" {
		alg, digits, ok := cut(req.Subject)
		if !ok {
			return nil, malformed("subject: %.100q is not algorithm:hex, such as sha256:… or gitCommit:…", req.Subject)
		}
		f.about(req, alg, digits)
	}
	if req.Signer != "" {
		id, err := attest.ParseDigest(req.Signer)
		if err != nil {
			return nil, malformed("signer: %.80q is not a key id, 64 lower-case hex digits", req.Signer)
		}
		f.all = append(f.all, attest.SignerKey(attest.KeyID(id)))
	}
	if req.Repository != "" {
		if err := attest.ParseRepository(req.Repository); err != nil {
			return nil, err
		}
	}
	switch {
	case req.Change != "" && req.Repository == "":
		return nil, malformed("change: needs the repository that it belongs to")
	case req.Change != "":
		f.all = append(f.all, attest.ChangeKey(req.Repository, req.Change))
	case req.Repository != "":
		f.all = append(f.all, attest.RepositoryKey(req.Repository))
	}
	if req.Person != "" {
		keys, ok := s.keysOf(req.Person)
		if !ok {
			return nil, notFound("person: the roster has no %.80q", req.Person)
		}
		for _, k := range keys {
			f.any = append(f.any, attest.SignerKey(attest.KeyID(k)))
		}
		if len(f.any) == 0 {
			return nil, notFound("person: %s has no key, and so has signed nothing", req.Person)
		}
	}
	if req.PredicateType != "" {
		f.all = append(f.all, attest.TypeKey(cmp.Or(attest.ShortTypes[req.PredicateType], req.PredicateType)))
	}
	if len(f.all) == 0 && len(f.any) == 0 && req.Since == nil && req.Until == nil {
		return nil, malformed("at least one of subject, predicateType, signer, person, repository, change, since and until is needed")
	}
	for _, key := range slices.Concat(f.any, f.all) {
		if len(key) > ledger.MaxKey {
			return nil, malformed("%.40q is too long to be found", key)
		}
	}
	f.drive()
	return f, nil
}

// about looks for a digest among what speaks of it and, unless the question is
// narrowed to something else, among the verdicts about it.
func (f *filter) about(req *countersignv1.SearchRequest, alg, digits string) {
	switch typ := cmp.Or(attest.ShortTypes[req.PredicateType], req.PredicateType); {
	case typ == attest.TypeDecision || typ == attest.TypeVSA:
		f.all = append(f.all, attest.VerdictKey(alg, digits))
	case typ == "" && req.Person == "":
		f.any = append(f.any, attest.SubjectKey(alg, digits), attest.VerdictKey(alg, digits))
	default:
		f.all = append(f.all, attest.SubjectKey(alg, digits))
	}
}

func cut(subject string) (alg, digits string, ok bool) {
	a, d, ok := bytes.Cut([]byte(subject), []byte(":"))
	return string(a), string(d), ok && len(a) > 0 && len(d) > 0
}

// drive chooses the keys that lead through the log: a person's, or the first of
// the others, which is the most telling; or none, and then every entry is looked at.
func (f *filter) drive() {
	if len(f.any) == 0 && len(f.all) > 0 {
		f.any, f.all = f.all[:1], f.all[1:]
	}
	for _, key := range f.any {
		f.leads = append(f.leads, lead{key: key})
	}
}

// next finds the first entry from an index on under any of the leading keys.
func (f *filter) next(ctx context.Context, l *ledger.Ledger, from, until uint64) (uint64, bool, error) {
	if len(f.any) == 0 {
		return from, from < until, nil
	}
	best, found := until, false
	for i := range f.leads {
		hit, ok, err := f.leads[i].next(ctx, l, from, until)
		if err != nil {
			return 0, false, err
		}
		if ok && hit < best {
			best, found = hit, true
		}
	}
	return best, found, nil
}

// A lead is one key's hits, read some at a time.
type lead struct {
	key  string
	hits []uint64
	done bool // there are no more than these
}

// leadAhead is how many hits are read at a time.
const leadAhead = 256

func (d *lead) next(ctx context.Context, l *ledger.Ledger, from, until uint64) (uint64, bool, error) {
	for len(d.hits) > 0 && d.hits[0] < from {
		d.hits = d.hits[1:]
	}
	if len(d.hits) == 0 && !d.done {
		var err error
		if d.hits, err = l.Search(ctx, ledger.Query{Key: d.key, From: from, Until: until, Limit: leadAhead}); err != nil {
			return 0, false, err
		}
		d.done = len(d.hits) < leadAhead
	}
	if len(d.hits) == 0 {
		return 0, false, nil
	}
	return d.hits[0], true, nil
}

// holds says whether an entry with these sorted keys is one of those asked for.
func (f *filter) holds(keys []string) bool {
	for _, key := range f.all {
		if _, ok := slices.BinarySearch(keys, key); !ok {
			return false
		}
	}
	return true
}

// A cursor is a place in a search. Its size stays the first page's, so the pages
// do not move while the log grows.
type cursor struct {
	next, until, size uint64
}

// startOf reads the page token, or begins: the times are turned into indexes,
// which they follow.
func (s *ledgerService) startOf(ctx context.Context, req *countersignv1.SearchRequest) (cursor, error) {
	size := s.ledger.Head().Size
	if req.PageToken != "" {
		at, ok := parseToken(req)
		if !ok || at.size > size || at.until > at.size {
			return cursor{}, malformed("pageToken: is not one of this search")
		}
		return at, nil
	}
	at := cursor{until: size, size: size}
	var err error
	if req.Since != nil {
		if at.next, err = s.firstAt(ctx, req.Since, size); err != nil {
			return at, err
		}
	}
	if req.Until != nil {
		at.until, err = s.firstAt(ctx, req.Until, size)
	}
	return at, err
}

// firstAt finds the first entry that was logged at a time or later. Times never
// go back by index.
func (s *ledgerService) firstAt(ctx context.Context, stamp *timestamppb.Timestamp, size uint64) (uint64, error) {
	if err := stamp.CheckValid(); err != nil {
		return 0, malformed("since and until: %v", err)
	}
	at := stamp.AsTime()
	var err error
	index := sort.Search(int(size), func(i int) bool {
		if err != nil {
			return true
		}
		var logged time.Time
		logged, err = s.timeOf(ctx, uint64(i))
		return !logged.Before(at)
	})
	return uint64(index), err
}

func (s *ledgerService) timeOf(ctx context.Context, index uint64) (time.Time, error) {
	r, err := s.ledger.Record(ctx, index)
	return r.Time, err
}

const tokenVersion = 1

// token spells a cursor: version, next, until, size, and which search it is of.
func (c cursor) token(req *countersignv1.SearchRequest) string {
	b := []byte{tokenVersion}
	for _, v := range []uint64{c.next, c.until, c.size} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return base64.RawURLEncoding.EncodeToString(append(b, searchID(req)...))
}

func parseToken(req *countersignv1.SearchRequest) (cursor, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(req.PageToken)
	if err != nil || len(b) != 1+3*8+8 || b[0] != tokenVersion || !bytes.Equal(b[25:], searchID(req)) {
		return cursor{}, false
	}
	return cursor{binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:]), binary.BigEndian.Uint64(b[17:])}, true
}

// searchID tells searches apart. The size of the pages may change between them.
func searchID(req *countersignv1.SearchRequest) []byte {
	same := proto.CloneOf(req)
	same.PageToken, same.PageSize, same.WithBundles = "", 0, false
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(same)
	if err != nil {
		return nil // no token fits
	}
	sum := sha256.Sum256(b)
	return sum[:8]
}
