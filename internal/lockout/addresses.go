package lockout

import (
	"net"
	"net/netip"
)

// Addresses asks the kernel for this machine's addresses, link-local ones with their zone. It takes some 100 µs.
func Addresses() ([]netip.Addr, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, i := range all {
		list, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			network, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			addr, ok := netip.AddrFromSlice(network.IP)
			if !ok {
				continue
			}
			if addr = addr.Unmap(); addr.Is6() && addr.IsLinkLocalUnicast() {
				addr = addr.WithZone(i.Name)
			}
			out = append(out, addr)
		}
	}
	return out, nil
}
