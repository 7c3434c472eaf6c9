package notify

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

func alarmNotice(t *testing.T, a Alarm) Notice {
	t.Helper()
	a.Kind = KindOf(a.Level)
	text := a.Text()
	return Notice{ID: "0fb3", Kind: a.Kind, At: a.At, Payload: need(encode(a.bounded()))(t), Text: text, Attempt: 1}
}

func TestSyslogLineIsThatOfRFC5424(t *testing.T) {
	s := need(NewSyslog("siem", SyslogOptions{Address: "udp://127.0.0.1:514", Facility: "local3"}))(t)
	s.host = "host.example"
	got := s.line(alarmNotice(t, example()))
	want := "<154>1 2025-05-16T20:41:07.000Z host.example tocsin " + strconv.Itoa(os.Getpid()) + ` alarm [tocsin@32473 id="0fb3" kind="alarm" level="alarm" issuance="` +
		strings.Repeat("4be1", 16) + `" value="192.0.2.1, b\\xfccher.example.com" watch="public resolver, example.com" owner="dns-team" issuer="Drill" serial="0badcafe"] ` +
		"\ufeffALARM: 192.0.2.1 (and 1 more) is named in a certificate by Drill"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for level, severity := range map[string]int{"page": 1, "alarm": 2, "digest": 5, "expected": 6} {
		a := example()
		a.Level = level
		if line := s.line(alarmNotice(t, a)); !strings.HasPrefix(line, fmt.Sprintf("<%d>1 ", 19*8+severity)) {
			t.Errorf("%s: %.20s", level, line)
		}
	}
	s.opts.JSON, s.at.Scheme = true, "tcp"
	_, doc, _ := strings.Cut(s.line(alarmNotice(t, example())), "\ufeff")
	var a Alarm
	if err := json.Unmarshal([]byte(doc), &a); err != nil || a.Certificate.Serial != "0badcafe" {
		t.Errorf("%v in %s", err, doc)
	}
}

// frames reads counted octets until the end.
func frames(r io.Reader) (list []string) {
	b := bufio.NewReader(r)
	for {
		count, err := b.ReadString(' ')
		n, bad := strconv.Atoi(strings.TrimSpace(count))
		if err != nil || bad != nil {
			return list
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(b, frame); err != nil {
			return list
		}
		list = append(list, string(frame))
	}
}

func TestSyslogArrivesOverEachWay(t *testing.T) {
	got := make(chan string, 10)
	stream := func(l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			for _, f := range frames(c) {
				got <- f
			}
			c.Close()
		}
	}
	source := httptest.NewTLSServer(nil)
	t.Cleanup(source.Close)
	conf := &tls.Config{Certificates: source.TLS.Certificates}
	tcp := need(net.Listen("tcp", "127.0.0.1:0"))(t)
	secure := tls.NewListener(need(net.Listen("tcp", "127.0.0.1:0"))(t), conf)
	udp := need(net.ListenPacket("udp", "127.0.0.1:0"))(t)
	dir := need(os.MkdirTemp("", "s"))(t) // short: the path of a socket is bounded
	t.Cleanup(func() { os.RemoveAll(dir) })
	packets := func(c net.PacketConn) {
		buf := make([]byte, 1<<16)
		for {
			n, _, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			got <- string(buf[:n])
		}
	}
	go stream(tcp)
	go stream(secure)
	go packets(udp)
	addresses := map[string]string{"tcp": "tcp://" + tcp.Addr().String(), "tls": "tls://" + secure.Addr().String(), "udp": "udp://" + udp.LocalAddr().String()}
	closers := []io.Closer{tcp, secure, udp}
	if runtime.GOOS != "windows" {
		gram := need(net.ListenPacket("unixgram", filepath.Join(dir, "gram")))(t)
		unix := need(net.Listen("unix", filepath.Join(dir, "stream")))(t)
		go packets(gram)
		go stream(unix)
		addresses["unix datagrams"], addresses["unix stream"] = "unix://"+filepath.Join(dir, "gram"), "unix://"+filepath.Join(dir, "stream")
		closers = append(closers, gram, unix)
	}
	t.Cleanup(func() {
		for _, c := range closers {
			c.Close()
		}
	})
	roots := rootsOf(t, source)
	for way, address := range addresses {
		s := need(NewSyslog("siem", SyslogOptions{Address: address, Roots: roots}))(t)
		for i := range 3 {
			n := Test(fmt.Sprint(way, i), time.Now())
			if err := s.Send(t.Context(), n); err != nil {
				t.Fatalf("%s: %v", way, err)
			}
			if line := <-got; line != s.line(n) || !strings.Contains(line, `kind="test"`) {
				t.Errorf("%s: %q arrived", way, line)
			}
		}
	}
	// Nobody there, or nobody whom we trust: not taken.
	for _, c := range closers {
		c.Close()
	}
	for way, address := range addresses {
		s := need(NewSyslog("siem", SyslogOptions{Address: address, Roots: roots}))(t)
		if err := s.Send(t.Context(), Test("x", time.Now())); err == nil && way != "udp" {
			t.Errorf("%s: sent to nobody", way)
		}
	}
}

func TestSyslogOverTCPNoticesWhatTheCollectorDidNotRead(t *testing.T) {
	l := need(net.Listen("tcp", "127.0.0.1:0"))(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.Read(make([]byte, 1)) // and dies with the rest unread
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}()
	s := need(NewSyslog("siem", SyslogOptions{Address: "tcp://" + l.Addr().String()}))(t)
	n := alarmNotice(t, example())
	if err := s.Send(t.Context(), n); err == nil {
		t.Error("a message that was lost counts as taken")
	}
	l.Close()
	<-done
}

func TestSyslogOverUDPFitsADatagram(t *testing.T) {
	s := need(NewSyslog("siem", SyslogOptions{Address: "udp://127.0.0.1:514"}))(t)
	a := example()
	for i := range 5 {
		a.Matched = append(a.Matched, Match{Value: strings.Repeat("ä]\"", 500) + fmt.Sprint(i), Watch: strings.Repeat("w", 900)})
	}
	line := s.line(alarmNotice(t, a))
	if len(line) > 2048 || !regexp.MustCompile(`^<\d+>1 [^ ]+ [^ ]+ tocsin \d+ alarm \[tocsin@32473( [a-z0-9]+="([^"\\\]]|\\.)*")+\] \x{feff}`).MatchString(line) {
		t.Errorf("%d bytes: %s", len(line), line)
	}
}

func TestSyslogAddressesAreChecked(t *testing.T) {
	for _, o := range []SyslogOptions{{Address: "host:514"}, {Address: "udp://host"}, {Address: "unix://"}, {Address: "http://host:1"}, {Address: "tcp://host:1", Facility: "nonsense"}, {Address: "tls://h:1", Roots: "syslog_test.go"}} {
		if _, err := NewSyslog("siem", o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
