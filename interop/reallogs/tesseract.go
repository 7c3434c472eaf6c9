package reallogs

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/transparency-dev/tessera"
	tposix "github.com/transparency-dev/tessera/storage/posix"
	"github.com/transparency-dev/tesseract"
	"github.com/transparency-dev/tesseract/storage"
	"github.com/transparency-dev/tesseract/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

// startTessera runs TesseraCT for submissions at the host of l.URL, and serves its folder at the host of
// l.MonitoringURL, since TesseraCT itself does not. There is no deduplication: a certificate submitted twice makes two
// entries.
func startTessera(ctx context.Context, l *Log, rootsFile string, interval time.Duration) (_ http.Handler, _ func(context.Context) error, err error) {
	dir := l.Folder()
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	// NewLogHandler ends the process when the storage cannot be opened, so what may fail for outer reasons comes first.
	driver, err := tposix.New(ctx, tposix.Config{Path: dir})
	if err != nil {
		return nil, nil, fmt.Errorf("opening the folder of the log: %w", err)
	}
	issuers, err := posix.NewIssuerStorage(ctx, dir)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the issuers of the log: %w", err)
	}
	flush := func(context.Context) error { return nil }
	open := func(ctx context.Context, signer note.Signer) (*storage.CTStorage, error) {
		appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
			WithCheckpointSigner(signer).
			WithCTLayout().
			WithCheckpointInterval(interval).
			WithBatching(tessera.DefaultBatchMaxSize, 20*time.Millisecond).
			WithPushback(8192))
		if err != nil {
			return nil, fmt.Errorf("starting the appender: %w", err)
		}
		flush = shutdown
		return storage.NewCTStorage(ctx, &storage.CTStorageOptions{Appender: appender, Reader: reader, IssuerStorage: issuers})
	}
	submit, err := url.Parse(l.URL)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the URL of the log: %w", err)
	}
	monitor, err := url.Parse(l.MonitoringURL)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the monitoring URL of the log: %w", err)
	}
	handler, err := tesseract.NewLogHandler(ctx, l.Origin(), l.Key, tesseract.ChainValidationConfig{RootsPEMFile: rootsFile}, open,
		10*time.Second, false, strings.TrimSuffix(submit.Path, "/"), tesseract.LogHandlerOpts{DedupRL: -1})
	if err != nil {
		return nil, nil, fmt.Errorf("setting up TesseraCT: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle(submit.Host+submit.Path+"ct/", &newIssuersAlone{next: handler, known: map[string]bool{}})
	mux.Handle(monitor.Host+monitor.Path, http.StripPrefix(monitor.Path, newFiles(dir)))
	stop := func(ctx context.Context) error {
		defer cancel()
		if err := flush(ctx); err != nil {
			return fmt.Errorf("flushing the log: %w", err)
		}
		return nil
	}
	return mux, stop, nil
}
