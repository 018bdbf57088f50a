package image

import (
	"slices"
	"testing"
)

func TestUnknownSuite(t *testing.T) {
	for _, suite := range []string{"", "sid", "Trixie", "../trixie"} {
		if _, err := RootRecipe(suite); err == nil {
			t.Errorf("RootRecipe(%q): no error", suite)
		}
	}
}

func TestKernelDigest(t *testing.T) {
	base := KernelRecipe()
	same := KernelRecipe()
	slices.Reverse(same.Enable)
	if base.Digest() != same.Digest() {
		t.Error("the order of options changes the digest")
	}
	changes := map[string]func(*Kernel){
		"option added":   func(k *Kernel) { k.Enable = append(k.Enable, "X") },
		"option removed": func(k *Kernel) { k.Enable = k.Enable[1:] },
		"option moved":   func(k *Kernel) { k.Disable = append(k.Disable, k.Enable[0]); k.Enable = k.Enable[1:] },
		"other source":   func(k *Kernel) { k.Source = "linux-source-6.13" },
	}
	for name, change := range changes {
		k := KernelRecipe()
		change(&k)
		if k.Digest() == base.Digest() {
			t.Errorf("%s: same digest", name)
		}
	}
}

func TestRootDigest(t *testing.T) {
	base, err := RootRecipe(Trixie)
	if err != nil {
		t.Fatal(err)
	}
	changes := map[string]func(*Root){
		"suite":   func(r *Root) { r.Suite = Forky },
		"package": func(r *Root) { r.Packages = append(r.Packages, "strace") },
		"size":    func(r *Root) { r.SizeMiB++ },
		"user":    func(r *Root) { r.Users = nil },
	}
	for name, change := range changes {
		r, err := RootRecipe(Trixie)
		if err != nil {
			t.Fatal(err)
		}
		change(&r)
		if r.Digest() == base.Digest() {
			t.Errorf("another %s: same digest", name)
		}
	}
}
