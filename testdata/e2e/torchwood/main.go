// Command torchwood checks a log of ours with an unmodified client of somebody else:
// filippo.io/torchwood, a library for C2SP transparency logs.
//
//	torchwood proof VKEY ORIGIN LEAF PROOF   verify a tlog-proof of a leaf
//	torchwood read VKEY ORIGIN URL           read every entry, and verify it
//	torchwood prove VKEY ORIGIN URL INDEX    write its own tlog-proof of an entry
//
// It ends with 0 when torchwood is content, 1 when it is not, 2 on wrong use.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "torchwood:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: torchwood proof|read|prove VKEY ORIGIN …")
		os.Exit(2)
	}
	v, err := note.NewVerifier(args[1])
	if err != nil {
		return err
	}
	policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(args[2]), torchwood.SingleVerifierPolicy(v))
	switch {
	case args[0] == "proof" && len(args) == 5:
		return verifyProof(policy, args[3], args[4])
	case args[0] == "read" && len(args) == 4:
		return readAll(ctx, policy, args[3])
	case args[0] == "prove" && len(args) == 5:
		return prove(ctx, policy, args[3], args[4])
	}
	return fmt.Errorf("no such use: %q", args)
}

func verifyProof(policy torchwood.Policy, leafFile, proofFile string) error {
	leaf, err := os.ReadFile(leafFile)
	if err != nil {
		return err
	}
	proof, err := os.ReadFile(proofFile)
	if err != nil {
		return err
	}
	if err := torchwood.VerifyProof(policy, tlog.RecordHash(leaf), proof); err != nil {
		return err
	}
	extra := 0
	if data, err := torchwood.ProofExtraData(proof); err == nil {
		extra = len(data)
	}
	fmt.Printf("the proof holds; %d bytes of extra data\n", extra)
	return nil
}

// open verifies the log's newest checkpoint.
func open(ctx context.Context, policy torchwood.Policy, url string) (*torchwood.Client, torchwood.Checkpoint, []byte, error) {
	fetcher, err := torchwood.NewTileFetcher(url)
	if err != nil {
		return nil, torchwood.Checkpoint{}, nil, err
	}
	signed, err := fetcher.ReadEndpoint(ctx, "checkpoint")
	if err != nil {
		return nil, torchwood.Checkpoint{}, nil, err
	}
	cp, _, err := torchwood.VerifyCheckpoint(signed, policy)
	if err != nil {
		return nil, torchwood.Checkpoint{}, nil, err
	}
	client, err := torchwood.NewClient(fetcher)
	return client, cp, signed, err
}

// readAll reads every entry with the client, which verifies each against the tree.
func readAll(ctx context.Context, policy torchwood.Policy, url string) error {
	client, cp, _, err := open(ctx, policy, url)
	if err != nil {
		return err
	}
	var n int64
	for index, entry := range client.AllEntries(ctx, cp.Tree, 0) {
		if index != n || len(entry) == 0 {
			return fmt.Errorf("entry %d came after %d, with %d bytes", index, n-1, len(entry))
		}
		n++
	}
	if err := client.Err(); err != nil {
		return err
	}
	if n != cp.N {
		return fmt.Errorf("read %d entries of %d", n, cp.N)
	}
	fmt.Printf("read %d entries, all in the tree of root %s\n", n, cp.Hash)
	return nil
}

// prove writes torchwood's own proof of an entry to standard output.
func prove(ctx context.Context, policy torchwood.Policy, url, word string) error {
	index, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return err
	}
	client, cp, signed, err := open(ctx, policy, url)
	if err != nil {
		return err
	}
	_, proof, err := client.Entry(ctx, cp.Tree, index)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(torchwood.FormatProof(index, proof, signed))
	return err
}
