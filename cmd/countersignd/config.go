package main

import (
	"cmp"
	"crypto/tls"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/api/alarm"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// settings are what serve can be told, by flags or by one file.
type settings struct {
	home
	listen  string
	gates   map[string]string // roster id of a service → file of its token
	readers []string          // files of tokens
	writers []string          // likewise; none asks for none
	tlsCert string
	tlsKey  string
	minFree uint64 // MiB
	pprof   string
	logJSON bool
	verbose bool
	policy  string
	console bool // serve the pages for people

	witnessPolicy string
	forges        []connecting     // of the configuration file alone
	alarms        []alarm.Receiver // likewise
}

var settingKeys = []string{"data", "keys", "head", "listen", "gates", "readers", "writers", "tlsCert", "tlsKey", "minFreeMiB", "logJSON", "verbose", "policy", "witnessPolicy", "console", "forges", "alarms"}

func (s *settings) bind(c *cobra.Command) {
	s.flags(c)
	f := c.Flags()
	f.StringVar(&s.listen, "listen", cmp.Or(os.Getenv("COUNTERSIGN_LISTEN"), "127.0.0.1:7391"), "address to listen on (COUNTERSIGN_LISTEN)")
	f.StringToStringVar(&s.gates, "gate", nil, "gate of the roster and the file of its token, as ID=FILE")
	f.StringArrayVar(&s.readers, "reader", nil, "file of a token that may read")
	f.StringArrayVar(&s.writers, "writer", nil, "file of a token without which nothing is logged, besides the signature")
	f.StringVar(&s.tlsCert, "tls-cert", "", "certificate chain, PEM")
	f.StringVar(&s.tlsKey, "tls-key", "", "its private key, PEM")
	f.Uint64Var(&s.minFree, "min-free", 256, "free space in MiB below which entries are refused")
	f.StringVar(&s.policy, "policy", "", "refuse to start unless this folder is the policy set in force")
	f.StringVar(&s.witnessPolicy, "witness-policy", "", "witnesses to ask for cosignatures, and the quorum to wait for (C2SP tlog-policy)")
	f.StringVar(&s.pprof, "pprof", "", "loopback address for profiles, such as 127.0.0.1:6060")
	f.BoolVar(&s.console, "console", false, "serve the pages for people at /console/, where they approve with passkeys")
	f.BoolVar(&s.logJSON, "log-json", false, "log as JSON")
	f.BoolVar(&s.verbose, "verbose", false, "log every request")
}

// read takes settings from a strict YAML file. What the file says, flags override:
// a setting that changed has been given as a flag.
func (s *settings) read(path string, changed func(flag string) bool) error {
	st, err := os.Stat(path)
	if err != nil {
		return wrong("--config: %v", err)
	}
	if st.Size() > strictyaml.MaxFile {
		return wrong("--config: %s has %d bytes", path, st.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return wrong("--config: %v", err)
	}
	root, err := strictyaml.Parse(path, text)
	if err != nil {
		return wrong("%v", err)
	}
	err = root.Fields(settingKeys, func(key string, v strictyaml.Node) error {
		if changed(flagOf(key)) {
			return nil
		}
		return s.set(key, v)
	})
	if err != nil {
		return wrong("%v", err)
	}
	return nil
}

func flagOf(key string) string {
	switch key {
	case "gates":
		return "gate"
	case "readers":
		return "reader"
	case "writers":
		return "writer"
	case "tlsCert":
		return "tls-cert"
	case "tlsKey":
		return "tls-key"
	case "minFreeMiB":
		return "min-free"
	case "logJSON":
		return "log-json"
	case "witnessPolicy":
		return "witness-policy"
	}
	return key
}

func (s *settings) set(key string, v strictyaml.Node) (err error) {
	switch key {
	case "gates":
		s.gates = make(map[string]string)
		return v.Items(func(item strictyaml.Node) error {
			id, file := "", ""
			err := item.Fields([]string{"id", "tokenFile"}, func(k string, f strictyaml.Node) (err error) {
				if k == "id" {
					id, err = f.Text()
				} else {
					file, err = f.Text()
				}
				return err
			})
			if err == nil && (id == "" || file == "") {
				err = item.Errorf("a gate needs an id and a tokenFile")
			}
			s.gates[id] = file
			return err
		})
	case "readers":
		s.readers, err = v.Texts()
	case "writers":
		s.writers, err = v.Texts()
	case "forges":
		s.forges, err = readForges(v)
	case "alarms":
		s.alarms, err = readAlarms(v)
	case "minFreeMiB":
		var n int
		n, err = v.Int(1, 1<<30)
		s.minFree = uint64(n)
	case "logJSON":
		s.logJSON, err = v.Bool()
	case "verbose":
		s.verbose, err = v.Bool()
	case "console":
		s.console, err = v.Bool()
	default:
		text := map[string]*string{
			"data": &s.data, "keys": &s.keys, "head": &s.head, "listen": &s.listen,
			"tlsCert": &s.tlsCert, "tlsKey": &s.tlsKey, "policy": &s.policy,
			"witnessPolicy": &s.witnessPolicy,
		}[key]
		*text, err = v.Text()
	}
	return err
}

// minToken is the shortest bearer token, in bytes.
const minToken = 16

// token reads a bearer token's digest; the token itself is not kept.
func token(path string) (attest.Digest, error) {
	text, err := attest.ReadSecret(path)
	if err != nil {
		return attest.Digest{}, wrong("token: %v", err)
	}
	t := strings.TrimSpace(string(text))
	if len(t) < minToken {
		return attest.Digest{}, wrong("%s: a token of %d bytes can be guessed; use %d random ones or more", path, len(t), minToken)
	}
	return attest.DigestOf([]byte(t)), nil
}

// tokens reads the files of tokens into the service's configuration.
func (s *settings) tokens(c *api.Config) (err error) {
	c.Gates = make(map[string]attest.Digest, len(s.gates))
	for id, file := range s.gates {
		if c.Gates[id], err = token(file); err != nil {
			return err
		}
	}
	if c.Readers, err = tokensOf(s.readers); err != nil {
		return err
	}
	c.Writers, err = tokensOf(s.writers)
	return err
}

func tokensOf(files []string) ([]attest.Digest, error) {
	var all []attest.Digest
	for _, file := range files {
		d, err := token(file)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// tls is nil for plain text, which is for loopback and for trusted proxies.
func (s *settings) tls() (*tls.Config, error) {
	if s.tlsCert == "" && s.tlsKey == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(s.tlsCert, s.tlsKey)
	if err != nil {
		return nil, wrong("--tls-cert, --tls-key: %v", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// loopback reports whether an address can be reached from this machine only.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
