package policy

// Without switches checks off: only tests can.
func (in Input) Without(names ...string) Input {
	in.off = make(map[check]bool)
	for _, n := range names {
		in.off[check(n)] = true
	}
	return in
}

// CheckNames lists every check of Decide.
func CheckNames() []string {
	var out []string
	for _, c := range checks {
		out = append(out, string(c))
	}
	return out
}
