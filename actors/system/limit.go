package system

import "re6st/protocols/limit"

// Limits are those of actors, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "events of one kind", Value: EventRate, Unit: "events/s", Per: "actor and kind", Beyond: "counted", Test: "TestEventsComeAtTheirRate"},
		{Name: "records of actors that a fault stopped", Value: maxGraves, Unit: "actors", Per: "process", Beyond: "the oldest go", Test: "TestOnlyTheLastFaultStoppedActorsStayInTheRecords"},
		{Name: "messages for an actor that is down", Value: maxSuspended, Unit: "messages", Per: "actor", Beyond: "dropped", Test: "TestTrapSuspendedMailboxIsBounded"},
	}
}
