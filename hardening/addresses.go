package hardening

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// matchAddresses is addr_match_list: CIDR blocks and addresses, or patterns of text.
func matchAddresses(text, list string) (bool, error) {
	addr, known := parseAddress(text)
	found := false
	for item := range strings.SplitSeq(list, ",") {
		item, negated := strings.CutPrefix(item, "!")
		if item == "" {
			return false, errors.New("Match address has an empty item")
		}
		var hit bool
		if prefix, zone, isPrefix, err := parsePrefix(item); err != nil {
			return false, err
		} else if isPrefix {
			hit = known && zone == addr.Zone() && prefix.Contains(addr.WithZone(""))
		} else {
			hit = known && matchPattern(text, item)
		}
		if hit && negated {
			return false, nil
		}
		found = found || hit
	}
	return found, nil
}

// parsePrefix is addr_pton_cidr: a block, or one address.
func parsePrefix(item string) (p netip.Prefix, zone string, ok bool, err error) {
	base, bits, cut := strings.Cut(item, "/")
	addr, isAddr := parseAddress(base)
	if !isAddr {
		return netip.Prefix{}, "", false, nil
	}
	n := addr.BitLen()
	if cut {
		v, err := strconv.ParseUint(bits, 10, 8)
		if err != nil || int(v) > n {
			return netip.Prefix{}, "", false, nil
		}
		n = int(v)
	}
	p = netip.PrefixFrom(addr.WithZone(""), n)
	if p.Masked() != p {
		return p, "", true, fmt.Errorf("Match address %s has bits beyond its mask", item)
	}
	return p, addr.Zone(), true, nil
}

// parseAddress is addr_pton, which takes whatever inet_aton(3) takes: 10.1 is 10.0.0.1, and 010.0.0.1 is 8.0.0.1.
func parseAddress(text string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr, true
	}
	parts := strings.Split(text, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var all uint32
	for i, part := range parts {
		if part == "" || !letterOrDigit(part[0]) || strings.Contains(part, "_") {
			return netip.Addr{}, false
		}
		if len(part) > 1 && part[0] == '0' && (part[1] == 'b' || part[1] == 'B' || part[1] == 'o' || part[1] == 'O') {
			return netip.Addr{}, false // Go's own
		}
		n, err := strconv.ParseUint(part, 0, 32)
		last := i == len(parts)-1
		if err != nil || !last && n > 255 || last && n >= 1<<(8*(4-i)) {
			return netip.Addr{}, false
		}
		if last {
			all |= uint32(n)
		} else {
			all |= uint32(n) << (8 * (3 - i))
		}
	}
	return netip.AddrFrom4([4]byte{byte(all >> 24), byte(all >> 16), byte(all >> 8), byte(all)}), true
}
