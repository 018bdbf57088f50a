package hardening

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// sshd binds its addresses once, when it starts, and has no way to bind one that comes later. If it can bind none it ends; if it can bind
// some, it runs with these and is silent about the others. So: while none of them is there the start is refused, and tried again by whoever
// started it; while some are, sshd starts and the others are warned of.
func (o *Options) missing() (warnings []string, err error) {
	if len(o.Policy.Listen) == 0 {
		return nil, nil
	}
	addresses := o.addresses
	if addresses == nil {
		addresses = ownAddresses
	}
	own, err := addresses()
	if err != nil {
		return nil, fmt.Errorf("hardening: listen: asking for this machine's addresses: %w", err)
	}
	var gone []string
	for _, text := range o.Policy.Listen {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("hardening: listen: %w", err) // Validate has refused it
		}
		if !addr.IsUnspecified() && !addr.IsLoopback() && !slices.Contains(own, addr) {
			gone = append(gone, text)
		}
	}
	if len(gone) == len(o.Policy.Listen) {
		return nil, fmt.Errorf("hardening: listen: this machine has none of %s now; SSH starts when one of them is there", strings.Join(gone, ", "))
	}
	for _, text := range gone {
		warnings = append(warnings, fmt.Sprintf("listen: this machine does not have %s now, so sshd starts without it; once it is there, turn the key off and on", text))
	}
	return warnings, nil
}

// ownAddresses are the addresses of all interfaces, the link-local ones of IPv6 with their zone.
func ownAddresses() ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var list []netip.Addr
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has gone meanwhile
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			addr := p.Addr().Unmap()
			if addr.Is6() && addr.IsLinkLocalUnicast() {
				addr = addr.WithZone(i.Name)
			}
			list = append(list, addr)
		}
	}
	return list, nil
}
