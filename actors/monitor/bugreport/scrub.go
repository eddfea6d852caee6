package bugreport

import "regexp"

var (
	// joinLine is an invitation; its token is what stands before the fingerprint.
	joinLine = regexp.MustCompile(`(re6st://[^/\s"']+/)[A-Za-z0-9_-]+`)
	// privateKey is a PEM block, also where JSON has made one line of it.
	privateKey = regexp.MustCompile(`(?s)-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)`)
	// value is that of a key in the node's configuration.
	value = regexp.MustCompile(`(\bvalue["']?\s*=\s*)` + quoted)
	// assigned is a secret by its name, in TOML or JSON.
	assigned = regexp.MustCompile(`(?i)((?:password|passphrase|secret|token|private[_-]?key|psk)["']?\s*[:=]\s*)` + quoted)
)

// quoted is a value of TOML or JSON, over several lines or one.
const quoted = `(?s:("""(?:.*?"""|.*)|\'\'\'(?:.*?\'\'\'|.*)|"[^"\n]*"?|'[^'\n]*'?|[^\s,}]+))`

// scrub takes secrets out of text.
func scrub(b []byte) []byte {
	b = joinLine.ReplaceAll(b, []byte("${1}REMOVED"))
	b = privateKey.ReplaceAll(b, []byte("$1 REMOVED"))
	b = value.ReplaceAll(b, []byte("${1}\"REMOVED\""))
	return assigned.ReplaceAll(b, []byte("${1}\"REMOVED\""))
}
