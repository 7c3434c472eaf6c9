package store

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatAReceiverRemembersIsItsOwn(t *testing.T) {
	s := open(t)
	recall := func(receiver, key, want string) {
		t.Helper()
		got, ok, err := s.Remembered(t.Context(), receiver, key)
		if err != nil || got != want || ok != (want != "") {
			t.Errorf("%s of %s is %q, %v, %v; want %q", key, receiver, got, ok, err, want)
		}
	}
	put := func(receiver, key, value string) {
		t.Helper()
		if err := s.Remember(t.Context(), receiver, key, value); err != nil {
			t.Fatal(err)
		}
	}
	recall("a", "k", "")
	put("a", "k", "1")
	put("b", "k", "2")
	put("a", "k", "3")
	recall("a", "k", "3")
	recall("b", "k", "2")
	put("a", "k", "")
	recall("a", "k", "")
	recall("b", "k", "2")
	for _, bad := range [][3]string{{"", "k", "v"}, {"a", "", "v"}, {"a", "k", strings.Repeat("x", maxRemembered+1)}} {
		if err := s.Remember(t.Context(), bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%.20q was remembered", bad)
		}
	}
}

func TestWhatWasNotTouchedForLongIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		if err := s.Remember(t.Context(), "a", "old", "1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rememberedFor + time.Hour)
		if err := s.Remember(t.Context(), "b", "new", "1"); err != nil {
			t.Fatal(err)
		}
		for key, want := range map[[2]string]bool{{"a", "old"}: false, {"b", "new"}: true} {
			if _, ok, err := s.Remembered(t.Context(), key[0], key[1]); ok != want || err != nil {
				t.Errorf("%v: %v, %v", key, ok, err)
			}
		}
		s.Close()
	})
}
