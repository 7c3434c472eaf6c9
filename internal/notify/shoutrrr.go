package notify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nicholas-fedor/shoutrrr"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// Shoutrrr tells any of the services of shoutrrr (ntfy, Gotify, Matrix, Telegram, Discord, Teams, …), which is named by a
// URL that holds its secrets. It sends text alone.
type Shoutrrr struct {
	name string
	opts ShoutrrrOptions
	// stuck is a send that outlived its time; the library knows no way to break it off.
	stuck *writing
}

// ShoutrrrOptions of [NewShoutrrr].
type ShoutrrrOptions struct {
	// Wants is [Receiver.Wants]; nil means digest and above.
	Wants func(level string) bool
	// URL names the service, as ntfy://host/topic; it is a secret.
	URL Secret
	// Timeout is as in [WebhookOptions].
	Timeout time.Duration
}

// NewShoutrrr returns a receiver that tells a service of shoutrrr. A URL that is none is refused at once.
func NewShoutrrr(name string, o ShoutrrrOptions) (*Shoutrrr, error) {
	if o.URL == nil {
		return nil, errors.New("a shoutrrr receiver needs a URL")
	}
	to, err := o.URL()
	if err != nil {
		return nil, err
	}
	// No more than that there is such a service: some of them log in when they are made.
	r, err := shoutrrr.CreateSender()
	if err != nil {
		return nil, err
	}
	scheme, _, err := r.ExtractServiceName(to)
	if err == nil {
		_, err = r.NewService(scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("the URL names no service of shoutrrr: %w", hide(err, secretsOf(to)...))
	}
	o.Wants, o.Timeout = orDigest(o.Wants), orTimeout(o.Timeout)
	return &Shoutrrr{name: name, opts: o}, nil
}

// Name implements [Receiver].
func (s *Shoutrrr) Name() string { return s.name }

// Wants implements [Receiver].
func (s *Shoutrrr) Wants(level string) bool { return s.opts.Wants(level) }

// Stream implements [Receiver]: it is told of incidents.
func (s *Shoutrrr) Stream() bool { return false }

// secretsOf are the parts of a URL that an error may repeat, the longest first.
func secretsOf(to string) []string {
	list := []string{to}
	u, err := url.Parse(to)
	if err != nil {
		return list
	}
	list = append(list, u.RequestURI(), u.RawQuery)
	if u.User != nil {
		password, _ := u.User.Password()
		list = append(list, u.User.String(), password, u.User.Username())
	}
	// Many services keep their token in the path, and some in the place of the host.
	list = append(list, strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' })...)
	for _, values := range u.Query() {
		list = append(list, values...)
	}
	if !strings.Contains(u.Host, ".") {
		list = append(list, u.Host)
	}
	return list
}

// maxShort bounds a text, in bytes: the services differ, and 2,000 is the least of the common ones.
const maxShort = 1900

// plainMarkup makes a text fit for services of which each has a markup of its own: what begins a tag, a link, code or a
// mention is replaced by a look-alike.
func plainMarkup(text string) string {
	return strings.NewReplacer("<", "‹", ">", "›", "&", "＆", "`", "ˋ", "@", "＠", "](", "] (").Replace(text)
}

// Send implements [Receiver].
func (s *Shoutrrr) Send(ctx context.Context, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	if s.stuck != nil {
		select {
		case <-s.stuck.done:
			same, err := s.stuck.id == n.ID, s.stuck.err
			s.stuck = nil
			if same && err == nil {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("an earlier message is still being sent: %w", ctx.Err())
		}
	}
	to, err := s.opts.URL()
	if err != nil {
		return fmt.Errorf("reading the URL: %w", err)
	}
	st := tell(n)
	text := st.subject()
	if _, rest, ok := strings.Cut(n.Text, "\n"); ok {
		text += "\n" + rest
	}
	text = cutBytes(plainMarkup(text), maxShort)
	w := &writing{id: n.ID, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		defer func() {
			if p := recover(); p != nil {
				w.err = fmt.Errorf("the service panicked: %v", p)
			}
		}()
		w.err = sendShort(to, text)
	}()
	select {
	case <-w.done:
		if w.err != nil {
			return hide(fmt.Errorf("sending: %w", w.err), secretsOf(to)...)
		}
		return nil
	case <-ctx.Done():
		s.stuck = w
		return fmt.Errorf("sending takes longer than %v: %w", s.opts.Timeout, ctx.Err())
	}
}

// sendShort uses the service itself: the library's own way around it leaves a goroutine behind after each timeout.
func sendShort(to, text string) error {
	r, err := shoutrrr.CreateSender()
	if err != nil {
		return err
	}
	service, err := r.Locate(to)
	if err != nil {
		return err
	}
	return service.Send(text, &types.Params{})
}
