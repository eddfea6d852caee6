package tun

import "re6st/hw/fault"

// faulty is a device of which some calls fail on purpose.
type faulty struct {
	Device
	faults *fault.Table
}

// WithFaults is a device of which the calls in t fail on purpose; with nil it is d.
func WithFaults(d Device, t *fault.Table) Device {
	if t == nil {
		return d
	}
	return &faulty{d, t}
}

func (d *faulty) Read(packet []byte, wait bool) (int, Offload, error) {
	if err := d.faults.Check(fault.TUNRead); err != nil {
		return 0, Offload{}, err
	}
	return d.Device.Read(packet, wait)
}

func (d *faulty) Write(packet []byte) (int, error) {
	if err := d.faults.Check(fault.TUNWrite); err != nil {
		return 0, err
	}
	return d.Device.Write(packet)
}

func (d *faulty) WriteSuper(o Offload, headers int, packets [][]byte) error {
	if err := d.faults.Check(fault.TUNWrite); err != nil {
		return err
	}
	return d.Device.WriteSuper(o, headers, packets)
}
