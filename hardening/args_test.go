package hardening

import "testing"

// SSHD_OPTS may say what sshd -T shows, and nothing that leads to files which nobody here has read.
func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"-o"}, {"-f", "/tmp/x"}, {"-C", "user=x"}, {"-oInclude=/tmp/x"}, {"-o", "include /tmp/x"}, {"-oInclude", "/tmp/x"},
		{"-o", "Match=all"}, {"-omatch"}, {"-E", "/tmp/log"}, {"-d"}, {"x"}} {
		if err := validateArgs(args); err == nil {
			t.Errorf("%q were accepted", args)
		}
	}
	for _, args := range [][]string{nil, {"-D", "-e"}, {"-o", "MaxStartups=1:2:3"}, {"-oPermitRootLogin=yes"}, {"-p", "22"}, {"-p22"}, {"-u0", "-4"}} {
		if err := validateArgs(args); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}
