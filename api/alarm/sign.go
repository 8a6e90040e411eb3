package alarm

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The headers of Standard Webhooks, whose asymmetric signatures (v1a, Ed25519) are used: a
// receiver that is broken into can then make no alarms of its own.
const (
	headerID        = "webhook-id"
	headerTimestamp = "webhook-timestamp"
	headerSignature = "webhook-signature"
	schemeEd25519   = "v1a,"
	publicPrefix    = "whpk_"
)

// PublicKey is how the key of alarms is written for receivers.
func PublicKey(key ed25519.PublicKey) string {
	return publicPrefix + base64.StdEncoding.EncodeToString(key)
}

// signature is over the message's id, the time of this attempt in seconds, and the body.
func signature(key ed25519.PrivateKey, id string, at time.Time, body []byte) string {
	return schemeEd25519 + base64.StdEncoding.EncodeToString(ed25519.Sign(key, signed(id, strconv.FormatInt(at.Unix(), 10), body)))
}

func signed(id, seconds string, body []byte) []byte {
	return append([]byte(id+"."+seconds+"."), body...)
}

// Verify checks a message as a receiver does: by the public key that the server printed,
// and against a message that is sent again later than tolerance.
func Verify(public string, header func(string) string, body []byte, now time.Time, tolerance time.Duration) error {
	text, ok := strings.CutPrefix(public, publicPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("%.60q is no public key of alarms", public)
	}
	seconds, err := strconv.ParseInt(header(headerTimestamp), 10, 64)
	if err != nil {
		return fmt.Errorf("%s: %w", headerTimestamp, err)
	}
	if age := now.Sub(time.Unix(seconds, 0)).Abs(); age > tolerance {
		return fmt.Errorf("the message is %s away from now; %s are allowed", age, tolerance)
	}
	message := signed(header(headerID), header(headerTimestamp), body)
	for one := range strings.FieldsSeq(header(headerSignature)) {
		if text, ours := strings.CutPrefix(one, schemeEd25519); ours {
			if sig, err := base64.StdEncoding.DecodeString(text); err == nil && ed25519.Verify(key, message, sig) {
				return nil
			}
		}
	}
	return errors.New("no signature of the key of alarms is over this message")
}
