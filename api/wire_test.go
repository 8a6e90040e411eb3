package api_test

import (
	"time"

	"google.golang.org/protobuf/proto"
)

// time31 is past the end of the people and keys that the cast lets end.
const time31 = 31 * time.Minute

func unmarshal(b []byte, m proto.Message) error { return proto.Unmarshal(b, m) }
