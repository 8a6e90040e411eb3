//go:build !unix

package follow

import "os"

// lockFile trusts that nobody else uses the folder: there is no lock to be had.
func lockFile(*os.File) error { return nil }
