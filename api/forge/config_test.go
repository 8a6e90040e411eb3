package forge

import (
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

func TestConnectionsThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		why    string
	}{
		"as it should be":           {func(*Config) {}, ""},
		"over https, on a branch":   {func(c *Config) { c.Repositories[0].Branches = []string{"refs/heads/release/1.x"} }, ""},
		"no id":                     {func(c *Config) { c.ID = "" }, "id"},
		"an id with a slash":        {func(c *Config) { c.ID = "a/b" }, "id"},
		"a kind that nobody knows":  {func(c *Config) { c.Kind = "gerrit" }, "none of"},
		"a host with a scheme":      {func(c *Config) { c.Host = "https://git.example.com" }, "host"},
		"a host in capitals":        {func(c *Config) { c.Host = "Git.example.com" }, "host"},
		"a secret to guess":         {func(c *Config) { c.Secret = []byte("secret") }, "can be guessed"},
		"no key":                    {func(c *Config) { c.Key = nil }, "key"},
		"for nothing":               {func(c *Config) { c.Environments = nil }, "approve nothing"},
		"of nothing":                {func(c *Config) { c.Repositories = nil }, "repositories"},
		"of another host":           {func(c *Config) { c.Repositories[0].ID = "git.example.org/a/b" }, "is not on"},
		"not canonical":             {func(c *Config) { c.Repositories[0].ID = "git.example.com/a/b.git" }, "b.git"},
		"a password in the URL":     {func(c *Config) { c.Repositories[0].Clone = "https://u:p@git.example.com/a/b" }, "without credentials"},
		"over a command":            {func(c *Config) { c.Repositories[0].Clone = "ext::sh -c x" }, "URL"},
		"a branch that is a tag":    {func(c *Config) { c.Repositories[0].Branches = []string{"refs/tags/v1"} }, "refs/heads/"},
		"a branch that is a glob":   {func(c *Config) { c.Repositories[0].Branches = []string{"refs/heads/*"} }, "refs/heads/"},
		"an API that is no URL":     {func(c *Config) { c.API = "git.example.com/api" }, "URL"},
		"a settling time of a week": {func(c *Config) { c.Settle = 168 * time.Hour }, "settle"},
	} {
		t.Run(name, func(t *testing.T) {
			one := config(t, t.TempDir())
			c.change(&one)
			d, err := Open([]Config{one}, func() time.Time { return noon }, nil)
			if err == nil {
				d.Close()
			}
			if (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
				t.Errorf("%v, want %q", err, c.why)
			}
		})
	}
	one, two := config(t, t.TempDir()), config(t, t.TempDir())
	if _, err := Open([]Config{one, two}, nil, nil); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("two of one id: %v", err)
	}
	if two.ID, two.Key = "two", one.Key; true {
		if _, err := Open([]Config{one, two}, nil, nil); err == nil || !strings.Contains(err.Error(), "one voice") {
			t.Errorf("two of one key: %v", err)
		}
	}
}

func config(t testing.TB, dir string) Config {
	t.Helper()
	key, err := attest.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		ID: "hub", Kind: GitHub, Host: "git.example.com", Secret: []byte(secret), Key: key, Environments: []string{"production"}, Dir: dir,
		Repositories: []Repository{{ID: "git.example.com/codertocat/hello-world", Branches: []string{"refs/heads/master"}}, {ID: "git.example.com/acme/app"}},
	}
}
