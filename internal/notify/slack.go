package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Slack tells a channel of Slack, Mattermost, or who speaks like them. Through an incoming webhook each message stands
// for itself. With a token there is one message per incident, which is changed as the incident changes, and its thread
// holds the rest.
type Slack struct {
	name string
	opts SlackOptions
	to   *poster
}

// SlackOptions of [NewSlack]. Either Webhook or Token with Channel is given.
type SlackOptions struct {
	// Wants is [Receiver.Wants]; nil means digest and above.
	Wants func(level string) bool
	// Webhook is the URL of an incoming webhook; it is a secret.
	Webhook Secret
	// Token is of a bot that may post to Channel, which is an id.
	Token   Secret
	Channel string
	// Server is the base URL of a Mattermost server; "" means Slack.
	Server string
	// API is the base of Slack's API, for tests; "" is Slack's.
	API string
	// Roots and Timeout are as in [WebhookOptions].
	Roots   string
	Timeout time.Duration
}

// NewSlack returns a receiver that tells a channel.
func NewSlack(name string, o SlackOptions) (*Slack, error) {
	if (o.Webhook == nil) == (o.Token == nil) || o.Token != nil && o.Channel == "" {
		return nil, errors.New("a slack receiver needs the URL of an incoming webhook, or a token and a channel")
	}
	p, err := newPoster(o.Roots)
	if err != nil {
		return nil, err
	}
	if o.API == "" {
		o.API = "https://slack.com/api/"
	}
	o.Wants, o.Timeout = orDigest(o.Wants), orTimeout(o.Timeout)
	return &Slack{name: name, opts: o, to: p}, nil
}

// Name implements [Receiver].
func (s *Slack) Name() string { return s.name }

// Wants implements [Receiver].
func (s *Slack) Wants(level string) bool { return s.opts.Wants(level) }

// Stream implements [Receiver]: it is told of incidents.
func (s *Slack) Stream() bool { return false }

// Send implements [Receiver].
func (s *Slack) Send(ctx context.Context, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	st := tell(n)
	if s.opts.Webhook != nil {
		to, err := s.opts.Webhook()
		if err != nil {
			return fmt.Errorf("reading the URL of the webhook: %w", err)
		}
		body, err := encode(map[string]any{"text": channelText(st, true, slackCode)})
		if err != nil {
			return permanent("writing message %s: %w", n.ID, err)
		}
		_, err = s.to.post(ctx, http.MethodPost, to, nil, body)
		return hide(err, append([]string{to}, pathOf(to)...)...)
	}
	token, err := s.opts.Token()
	if err != nil {
		return fmt.Errorf("reading the token: %w", err)
	}
	var c channel = &slackAPI{s.to, s.opts.API, s.opts.Channel, token}
	if s.opts.Server != "" {
		c = &mattermostAPI{s.to, s.opts.Server, s.opts.Channel, token}
	}
	return hide(s.keep(ctx, c, st), token)
}

// pathOf is the part of a webhook's URL that is secret.
func pathOf(to string) []string {
	u, err := url.Parse(to)
	if err != nil {
		return nil
	}
	return []string{strings.Trim(u.EscapedPath(), "/"), u.RawQuery}
}

// channel is a place where messages are posted, changed, and answered in threads.
type channel interface {
	// code makes a text fit to stand between backquotes.
	code(text string) string
	// post writes a message, into the thread of another one unless that is "", and returns its id. The id of our
	// message goes along, so that a repeat can be known.
	post(ctx context.Context, text, thread, id string) (string, error)
	// update changes a message; errGone is returned when there is none.
	update(ctx context.Context, message, text string) error
}

var errGone = errors.New("the message to change is gone")

// shown is what is remembered of an incident: the message that shows it, and which of ours last changed it.
type shown struct {
	Message string `json:"message"`
	By      string `json:"by"`
}

// keep shows the incident of a story in its one message, and the story in the thread of it. What belongs to no incident
// is a message by itself.
func (s *Slack) keep(ctx context.Context, c channel, st *story) error {
	if st.Matter == "" || st.Memory == nil {
		_, err := c.post(ctx, channelText(st, true, c.code), "", st.ID)
		return err
	}
	key := "message " + st.Matter
	text, _, err := st.Memory.Remembered(ctx, s.name, key)
	if err != nil {
		return err
	}
	var m shown
	if text != "" && json.Unmarshal([]byte(text), &m) != nil {
		m = shown{}
	}
	if m.By == st.ID {
		return nil // it was sent, and the end came before the outbox knew
	}
	if m.Message != "" {
		err := c.update(ctx, m.Message, channelText(st, false, c.code))
		if err == nil {
			_, err = c.post(ctx, channelText(st, true, c.code), m.Message, st.ID)
		}
		if err == nil {
			return s.remember(ctx, st, key, shown{m.Message, st.ID})
		}
		if !errors.Is(err, errGone) {
			return err
		}
	}
	// The message is changed later on, so what is told now goes into its thread, too.
	if m.Message, err = c.post(ctx, channelText(st, false, c.code), "", st.ID); err != nil {
		return err
	}
	if err := s.remember(ctx, st, key, shown{m.Message, ""}); err != nil {
		return err
	}
	if _, err := c.post(ctx, channelText(st, true, c.code), m.Message, st.ID); err != nil {
		return err
	}
	return s.remember(ctx, st, key, shown{m.Message, st.ID})
}

func (s *Slack) remember(ctx context.Context, st *story, key string, m shown) error {
	doc, err := encode(m)
	if err != nil {
		return err
	}
	return st.Memory.Remember(ctx, s.name, key, string(doc))
}

// maxChannelText bounds the details in a message, in bytes: channels cut long ones by themselves.
const maxChannelText = 3000

// channelText is a message in the markup that Slack and Mattermost share: one bold word of ours, and everything else as
// code, where no markup, link or mention is read.
func channelText(s *story, details bool, code func(string) string) string {
	mark := "🔵"
	switch {
	case s.Over:
		mark = "✅"
	case s.Seen:
		mark = "👀"
	case s.level() == "page":
		mark = "🔴"
	case s.level() == "alarm":
		mark = "🟠"
	}
	title := strings.TrimPrefix(s.subject(), s.label()+": ")
	text := fmt.Sprintf("%s *%s* `%s`", mark, s.label(), code(title))
	if i := s.Incident; i != nil {
		text += "\n`" + code(standing(i)) + "`"
	}
	if details && s.Text != "" {
		text += "\n```\n" + code(cutBytes(s.Text, maxChannelText)) + "\n```"
	}
	for _, next := range s.Next {
		text += "\n`" + code(next) + "`"
	}
	return text
}

// standing says in one line how an incident stands.
func standing(i *Incident) string {
	line := fmt.Sprintf("%s, %s", Safe(i.State, 30), countOf(i.CertificatesTotal, "certificate"))
	if i.Owner != "" {
		line += ", owner " + Safe(i.Owner, 60)
	}
	if i.Group != "" {
		line += ", " + Safe(i.Group, 100)
	}
	if i.By != "" {
		line += ", by " + Safe(i.By, 60)
	}
	return line + ", since " + day(i.Opened)
}

func countOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// slackCode makes a text fit to stand between backquotes: nothing in it ends the code, begins an entity, a link or a
// mention. A look-alike stands for what would.
func slackCode(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "ˋ", "@", "＠").Replace(text)
}

// mattermostCode is the same for Markdown, where nothing is an entity inside of code.
func mattermostCode(text string) string {
	return strings.NewReplacer("`", "ˋ", "@", "＠").Replace(text)
}

// slackAPI is a channel of Slack.
type slackAPI struct {
	to                   *poster
	base, channel, token string
}

func (a *slackAPI) code(text string) string { return slackCode(text) }

func (a *slackAPI) post(ctx context.Context, text, thread, id string) (string, error) {
	body := map[string]any{
		"channel": a.channel, "text": text, "unfurl_links": false, "unfurl_media": false, "link_names": false,
		"metadata": map[string]any{"event_type": "tocsin", "event_payload": map[string]any{"id": id}},
	}
	if thread != "" {
		body["thread_ts"] = thread
	}
	return a.call(ctx, "chat.postMessage", body)
}

func (a *slackAPI) update(ctx context.Context, message, text string) error {
	_, err := a.call(ctx, "chat.update", map[string]any{"channel": a.channel, "ts": message, "text": text, "link_names": false})
	return err
}

// passing are errors of Slack that waiting heals.
var passing = map[string]bool{
	"ratelimited": true, "rate_limited": true, "internal_error": true, "fatal_error": true, "service_unavailable": true, "request_timeout": true,
	"team_added_to_org": true, "message_limit_exceeded": true,
}

func (a *slackAPI) call(ctx context.Context, method string, body map[string]any) (ts string, err error) {
	doc, err := encode(body)
	if err != nil {
		return "", permanent("writing for %s: %w", method, err)
	}
	answer, err := a.to.post(ctx, http.MethodPost, strings.TrimSuffix(a.base, "/")+"/"+method, http.Header{"Authorization": {"Bearer " + a.token}}, doc)
	if err != nil {
		return "", fmt.Errorf("%s: %w", method, err)
	}
	var said struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
		TS    string `json:"ts"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return "", fmt.Errorf("%s: the answer is not Slack's", method)
	}
	switch {
	case said.OK && said.TS != "":
		return said.TS, nil
	case said.OK:
		return "", fmt.Errorf("%s: the answer names no message", method)
	case said.Error == "message_not_found" || said.Error == "thread_not_found":
		return "", errGone
	case passing[said.Error]:
		return "", fmt.Errorf("%s: %s", method, said.Error)
	}
	return "", permanent("%s: %s", method, Safe(said.Error, 100))
}

// mattermostAPI is a channel of a Mattermost server.
type mattermostAPI struct {
	to                     *poster
	server, channel, token string
}

func (a *mattermostAPI) code(text string) string { return mattermostCode(text) }

func (a *mattermostAPI) post(ctx context.Context, text, thread, id string) (string, error) {
	return a.call(ctx, http.MethodPost, "posts", map[string]any{
		"channel_id": a.channel, "message": text, "root_id": thread, "props": map[string]any{"tocsin_id": id, "disable_mentions": true},
	})
}

func (a *mattermostAPI) update(ctx context.Context, message, text string) error {
	_, err := a.call(ctx, http.MethodPut, "posts/"+url.PathEscape(message)+"/patch", map[string]any{"message": text})
	return err
}

func (a *mattermostAPI) call(ctx context.Context, method, path string, body map[string]any) (id string, err error) {
	doc, err := encode(body)
	if err != nil {
		return "", permanent("writing for the server: %w", err)
	}
	answer, err := a.to.post(ctx, method, strings.TrimSuffix(a.server, "/")+"/api/v4/"+path, http.Header{"Authorization": {"Bearer " + a.token}}, doc)
	if err != nil {
		if method == http.MethodPut && statusOf(err) == http.StatusNotFound {
			return "", errGone
		}
		return "", err
	}
	var said struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(answer, &said) != nil || said.ID == "" {
		return "", errors.New("the answer names no post")
	}
	return said.ID, nil
}
