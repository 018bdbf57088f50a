package image

import (
	"slices"
	"testing"
)

func TestConfigure(t *testing.T) {
	k := Kernel{Enable: []string{"GPIO", "NET"}, Disable: []string{"SOUND"}}
	const before = "#\n# Title\n#\nCONFIG_SOUND=m\n# CONFIG_GPIO is not set\nCONFIG_GPIO_SIM=m\nCONFIG_NET=y\n"
	const want = "#\n# Title\n#\nCONFIG_GPIO_SIM=m\nCONFIG_GPIO=y\nCONFIG_NET=y\n# CONFIG_SOUND is not set\n"
	if got := k.configure(before); got != want {
		t.Errorf("configure = %q, want %q", got, want)
	}
}

func TestLostOptionsAreFound(t *testing.T) {
	k := Kernel{Enable: []string{"GPIO", "NET", "PCI"}}
	const config = "CONFIG_GPIO_SIM=y\nCONFIG_NET=y\nCONFIG_PCI=m\n"
	if got := k.lost(config); !slices.Equal(got, []string{"GPIO", "PCI"}) {
		t.Errorf("lost = %q", got)
	}
	if got := k.lost("CONFIG_GPIO=y\nCONFIG_NET=y\nCONFIG_PCI=y\n"); got != nil {
		t.Errorf("lost = %q, want none", got)
	}
}
