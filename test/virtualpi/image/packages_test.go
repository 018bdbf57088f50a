package image

import (
	"slices"
	"testing"
)

func TestLacking(t *testing.T) {
	const list = "ii  bc\nrc  flex\nun  bison\niU  tar\n"
	got := lacking([]string{"bc", "flex", "bison", "tar", "make"}, list)
	if !slices.Equal(got, []string{"flex", "bison", "tar", "make"}) {
		t.Errorf("lacking = %q", got)
	}
}
