package ktunnel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	vnl "github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Families of generic netlink.
const (
	fouFamily       = "fou"
	wireguardFamily = "wireguard"
)

const genericVersion = 1 // of both

// include/uapi/linux/fou.h
const (
	fouAdd      = 1
	fouDel      = 2
	fouPort     = 1
	fouAF       = 2
	fouProtocol = 3
	fouType     = 4
	fouLocalV4  = 6
	fouLocalV6  = 7
	fouPeerV4   = 8
	fouPeerV6   = 9
	fouPeerPort = 10
	fouDirect   = 1 // FOU_ENCAP_DIRECT
)

// include/uapi/linux/wireguard.h
const (
	wgSetDevice       = 1
	wgDeviceIfname    = 2
	wgDevicePrivate   = 3
	wgDeviceFlags     = 5
	wgDevicePort      = 6
	wgDeviceFwmark    = 7
	wgDevicePeers     = 8
	wgReplacePeers    = 1
	wgPeerPublic      = 1
	wgPeerPreshared   = 2
	wgPeerFlags       = 3
	wgPeerEndpoint    = 4
	wgPeerAllowed     = 9
	wgReplaceAllowed  = 2
	wgAllowedFamily   = 1
	wgAllowedAddress  = 2
	wgAllowedMaskBits = 3
)

// ports are the two ends of a FOU tunnel: what the kernel knows its UDP socket by.
type ports struct{ local, remote netip.AddrPort }

// message is the payload that adds the port, or removes it.
func (p ports) message(command uint8) []byte {
	b := []byte{command, genericVersion, 0, 0}
	add := func(kind int, value []byte) { b = append(b, nl.NewRtAttr(kind, value).Serialize()...) }
	local, peer := fouLocalV4, fouPeerV4
	if p.local.Addr().Is6() {
		local, peer = fouLocalV6, fouPeerV6
	}
	add(fouPort, bigEndian16(p.local.Port()))
	add(fouAF, []byte{family(p.local.Addr())})
	if command == fouAdd {
		add(fouProtocol, []byte{unix.IPPROTO_GRE})
		add(fouType, []byte{fouDirect})
	}
	add(local, p.local.Addr().AsSlice())
	add(peer, p.remote.Addr().AsSlice())
	add(fouPeerPort, bigEndian16(p.remote.Port()))
	return b
}

// allowed are the sources of what the peer may send, and the destinations of what it is sent:
// all, or where it is trusted the prefix that it is trusted with.
// Without groups among them what the kernel itself sends begins no handshake.
func (s *Spec) allowed() []netip.Prefix {
	switch {
	case s.Trust != (Trust{}):
		return []netip.Prefix{linkLocals, s.Trust.Peer}
	case s.Port != 0:
		return []netip.Prefix{linkLocals}
	}
	return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
}

// wireguard is the payload that sets the keys, the port and the one peer.
func (s *Spec) wireguard() []byte {
	b := []byte{wgSetDevice, genericVersion, 0, 0}
	add := func(attr *nl.RtAttr) { b = append(b, attr.Serialize()...) }
	add(nl.NewRtAttr(wgDeviceIfname, nl.ZeroTerminated(s.Name)))
	add(nl.NewRtAttr(wgDevicePrivate, s.Private[:]))
	add(nl.NewRtAttr(wgDeviceFlags, nl.Uint32Attr(wgReplacePeers)))
	add(nl.NewRtAttr(wgDevicePort, nl.Uint16Attr(s.Local.Port())))
	add(nl.NewRtAttr(wgDeviceFwmark, nl.Uint32Attr(s.Mark)))

	peers := nl.NewRtAttr(wgDevicePeers|unix.NLA_F_NESTED, nil)
	peer := peers.AddRtAttr(unix.NLA_F_NESTED, nil)
	peer.AddRtAttr(wgPeerPublic, s.Peer[:])
	peer.AddRtAttr(wgPeerPreshared, s.Preshared[:])
	peer.AddRtAttr(wgPeerFlags, nl.Uint32Attr(wgReplaceAllowed))
	peer.AddRtAttr(wgPeerEndpoint, sockaddr(s.Remote))
	allowed := peer.AddRtAttr(wgPeerAllowed|unix.NLA_F_NESTED, nil)
	for _, p := range s.allowed() {
		one := allowed.AddRtAttr(unix.NLA_F_NESTED, nil)
		one.AddRtAttr(wgAllowedFamily, nl.Uint16Attr(uint16(family(p.Addr()))))
		one.AddRtAttr(wgAllowedAddress, p.Addr().AsSlice())
		one.AddRtAttr(wgAllowedMaskBits, []byte{byte(p.Bits())})
	}
	add(peers)
	return b
}

// sockaddr is a struct sockaddr_in or sockaddr_in6.
func sockaddr(a netip.AddrPort) []byte {
	b := nl.Uint16Attr(uint16(family(a.Addr())))
	b = binary.BigEndian.AppendUint16(b, a.Port())
	if a.Addr().Is4() {
		return append(append(b, a.Addr().AsSlice()...), make([]byte, 8)...)
	}
	b = append(b, make([]byte, 4)...) // the flow label
	b = append(b, a.Addr().AsSlice()...)
	return append(b, make([]byte, 4)...) // the scope
}

// generic sends a message to a family of generic netlink.
func (t *Tunnels) generic(name string, message []byte) error {
	f, err := t.handle.GenlFamilyGet(name)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%w: generic netlink family %s", ErrUnsupported, name)
	}
	if err != nil {
		return fmt.Errorf("generic netlink family %s: %w", name, err)
	}
	req := nl.NewNetlinkRequest(int(f.ID), unix.NLM_F_ACK)
	req.Sockets = t.sockets
	req.AddRawData(message)
	_, err = req.Execute(unix.NETLINK_GENERIC, 0)
	return err
}

// needFOU has the module there that makes FOU of the family of a.
func (t *Tunnels) needFOU(a netip.Addr) error {
	modules := []string{"fou"}
	if a.Is6() {
		modules = append(modules, "fou6")
	}
	for _, m := range modules {
		loadModule(m)
	}
	if _, err := t.handle.GenlFamilyGet(fouFamily); errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%w: fou; if `modprobe fou fou6` works by hand, put both names into /etc/modules-load.d/re6st.conf, or give the process CAP_SYS_MODULE", ErrUnsupported)
	} else if err != nil {
		return fmt.Errorf("generic netlink family %s: %w", fouFamily, err)
	}
	return nil
}

// loadModule has the kernel load a module, with what it needs and by its own modprobe: it
// takes the name of an unknown interface for a module's (netdevice(7)). Whether it
// worked shows in what the module brings.
func loadModule(name string) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return
	}
	_ = unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request) // fails: there is no such interface
}

// portsOf tells whether a link is a FOU tunnel, and its ports.
func portsOf(l vnl.Link) (ports, bool) {
	gre, ok := l.(*vnl.Gretun)
	if !ok || gre.EncapType != encapFOU {
		return ports{}, false
	}
	local, fine := netip.AddrFromSlice(gre.Local)
	remote, too := netip.AddrFromSlice(gre.Remote)
	return ports{netip.AddrPortFrom(local.Unmap(), gre.EncapSport), netip.AddrPortFrom(remote.Unmap(), gre.EncapDport)}, fine && too
}
