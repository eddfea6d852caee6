package tun

import "re6st/hw/fault"

// faulty is a device of which some calls fail on purpose.
type faulty struct {
	Device
	faults *fault.Table
}

func (d *faulty) Read(packet []byte) (int, error) {
	if err := d.faults.Check(fault.TUNRead); err != nil {
		return 0, err
	}
	return d.Device.Read(packet)
}

func (d *faulty) Write(packet []byte) (int, error) {
	if err := d.faults.Check(fault.TUNWrite); err != nil {
		return 0, err
	}
	return d.Device.Write(packet)
}
