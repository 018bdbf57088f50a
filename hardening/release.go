package hardening

import "strings"

// Release is an OpenSSH release, for what its sshd reads in a way of its own (servconf.c of each tag from V_8_4_P1 to V_10_5_P1).
// The zero value is a release that isn't known, which is read as the newest.
type Release struct {
	version version
	name    string // "OpenSSH_10.0p2 Debian-7+deb13u4", what `Match version` looks at
}

// ParseRelease reads what `sshd -V` printed, or [Result].SSHD.
func ParseRelease(text string) (Release, error) {
	v, word, err := parseVersion(text)
	if err != nil {
		return Release{}, err
	}
	name := text[strings.Index(text, word):]
	if end := strings.IndexAny(name, ",\r\n"); end >= 0 {
		name = name[:end]
	}
	return Release{v, name}, nil
}

func (r Release) atLeast(major, minor int) bool {
	return r.version == (version{}) || r.version.atLeast(major, minor)
}

// Release is the one that the result was about, the zero value if that isn't known.
func (r Result) Release() Release {
	release, err := ParseRelease(r.SSHD)
	if err != nil {
		return Release{}
	}
	return release
}

// KnowsInvalidUser says whether sshd has the criterion invalid-user, in Match lines and for -C.
func (r Release) KnowsInvalidUser() bool { return r.atLeast(9, 9) }

// knowsVersion is for the criterion version.
func (r Release) knowsVersion() bool { return r.atLeast(10, 0) }

// looseMatch: up to 9.8 a Match line is taken apart by strdelim, like the keyword before it. From 9.9 on its words are those of any other
// line, and '=' stands between some criteria and their values (the first 9.9, which no Debian release has, took none).
func (r Release) looseMatch() bool { return !r.atLeast(9, 9) }

// lastWins: some releases write a few keywords into their options without a look at what is there.
func (r Release) lastWins(keyword string) bool {
	switch keyword {
	case "maxstartups", "persourcenetblocksize":
		return !r.atLeast(10, 1)
	case "persourcemaxstartups":
		return !r.atLeast(9, 5)
	}
	return false
}
