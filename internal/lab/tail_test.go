package lab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/lab"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/loglist"
)

// tail reads a log of a lab from its first entry to its head, as its list describes it.
func tail(t *testing.T, l *lab.Lab, kind loglist.Kind) (entries int, faults []ctlog.Fault, err error) {
	t.Helper()
	b, err := l.LogList()
	if err != nil {
		t.Fatal(err)
	}
	list, err := loglist.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range list.Followed() {
		if log.Kind != kind {
			continue
		}
		c, err := ctlog.NewClient(log, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = ctlog.NewTailer(c, ctlog.Cursor{}, &ctlog.TailOptions{
			From: ctlog.Start{Zero: true}, Once: true, Attempts: 1,
			Deliver: func(_ context.Context, d *ctlog.Delivery) error {
				for i := range d.Entries {
					e := &d.Entries[i]
					if pre, chain, err := ctlog.Chain(t.Context(), c, e); err != nil || len(chain) != 2 || e.Precert != (pre != nil) {
						return fmt.Errorf("chain of entry %d: %d, %w", e.Index, len(chain), err)
					}
				}
				entries += len(d.Entries)
				return nil
			},
			Fault: func(f ctlog.Fault) { faults = append(faults, f) },
		}).Run(t.Context())
		return entries, faults, err
	}
	t.Fatal("the list has no log of that kind")
	return 0, nil, nil
}

func TestTheProductsOwnTailerVerifiesBothLogsAndSeesTheirLies(t *testing.T) {
	root, err := ca.NewRoot("Root", nil)
	if err != nil {
		t.Fatal(err)
	}
	issuing, err := root.NewIntermediate("Issuing", nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.Start(t.Context(), &lab.Options{Roots: [][]byte{root.Cert}, MaxBatch: 7, Grease: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for n := range 30 {
		i, err := issuing.Issue(ca.Leaf{DNS: []string{fmt.Sprintf("h%d.example.com", n)}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Play(t.Context(), lab.Submission{Issued: i, AsPrecert: true, AsFinal: n%3 == 0}); err != nil {
			t.Fatal(err)
		}
	}
	l.RFC6962.Publish()
	l.Static.Publish()
	three := uint64(3)
	for _, row := range []struct {
		name string
		f    fault.Faults
		want error
		kept bool // a fault with evidence
	}{
		{"honest", fault.Faults{}, nil, false},
		{"one entry is not what was hashed", fault.Faults{AlterEntry: &three}, ctlog.ErrBlind, true},
		{"wrong root", fault.Faults{WrongRoot: true}, ctlog.ErrBlind, true},
		{"bad signature", fault.Faults{BadSignature: true}, ctlog.ErrBlind, true},
		{"down", fault.Faults{Down: true}, ctlog.ErrBlind, false},
	} {
		for kind, sw := range map[loglist.Kind]*fault.Switch{loglist.RFC6962: &l.RFC6962.Faults, loglist.Static: &l.Static.Faults} {
			t.Run(row.name+" "+kind.String(), func(t *testing.T) {
				sw.Set(row.f)
				defer sw.Set(fault.Faults{})
				n, faults, err := tail(t, l, kind)
				if !errors.Is(err, row.want) || (len(faults) > 0) != row.kept || row.want == nil && n != 40 {
					t.Errorf("%d entries, faults %v, %v", n, faults, err)
				}
			})
		}
	}
}

func TestTheConfigurationsOfAllScenariosAreTaken(t *testing.T) {
	for _, sc := range lab.Scenarios() {
		dir := t.TempDir()
		plan, err := sc.Build(&lab.World{Seed: "config", Dir: dir, Renewals: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, "keys"), 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "tocsin.yaml")
		if err := os.WriteFile(path, []byte(plan.Config), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(path)
		if err != nil {
			t.Errorf("%s: %v\n%s", sc.Name, err, plan.Config)
		} else if len(c.Watches) == 0 || len(c.Watches[0].Items) == 0 {
			t.Errorf("%s watches nothing", sc.Name)
		}
	}
}
