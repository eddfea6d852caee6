package cert

import "re6st/protocols/limit"

// Limits are those of what the CA signs, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "certificate", Value: MaxCertificate, Unit: "bytes", Per: "certificate", Beyond: "refused", Test: "TestMalformedCertificatesAreRefused"},
		{Name: "revocation list", Value: MaxRevocationList, Unit: "bytes", Per: "list", Beyond: "refused", Test: "TestRevocationsOfOthersAreRefused"},
	}
}
