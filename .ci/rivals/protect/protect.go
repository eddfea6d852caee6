// Package protect stands in for what Yggdrasil uses on OpenBSD, and on Linux does nothing.
package protect

func Pledge(string) error         { return nil }
func Unveil(string, string) error { return nil }
func UnveilBlock() error          { return nil }
