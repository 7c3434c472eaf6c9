package reallogs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/certificate-transparency-go/trillian/ctfe"
	"github.com/google/certificate-transparency-go/trillian/ctfe/configpb"
	"github.com/google/trillian"
	"github.com/google/trillian/client"
	"github.com/google/trillian/crypto/keys"
	"github.com/google/trillian/crypto/keys/der"
	"github.com/google/trillian/crypto/keyspb"
	"github.com/google/trillian/extension"
	"github.com/google/trillian/log"
	"github.com/google/trillian/monitoring"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"github.com/google/trillian/server/admin"
	"github.com/google/trillian/server/interceptor"
	"github.com/google/trillian/storage"
	"github.com/google/trillian/storage/memory"
	"github.com/google/trillian/util/clock"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// registerKeys teaches Trillian to take a private key in DER from the configuration, once a process.
var registerKeys = sync.OnceFunc(func() { keys.RegisterHandler(&keyspb.PrivateKey{}, der.FromProto) })

// copying is memory storage that queues copies. Left alone it answers with the queued leaf itself, which the sequencer
// then changes while the answer is being encoded: a data race.
type copying struct{ storage.LogStorage }

func (s copying) QueueLeaves(ctx context.Context, tree *trillian.Tree, leaves []*trillian.LogLeaf, now time.Time) ([]*trillian.QueuedLogLeaf, error) {
	queued := make([]*trillian.LogLeaf, len(leaves))
	for i, l := range leaves {
		queued[i] = proto.CloneOf(l)
	}
	answer, err := s.LogStorage.QueueLeaves(ctx, tree, queued, now)
	for i := range answer {
		// Memory storage knows no duplicates: each answer is about the leaf that was passed.
		answer[i].Leaf = leaves[i]
	}
	return answer, err
}

// oneAtATime lets the log server answer one call at a time. In memory storage even readers write to the tree, when they
// begin and when they end, though they hold a lock for readers only. The sequencer holds a lock of its own.
func oneAtATime() grpc.UnaryServerInterceptor {
	var mu sync.Mutex
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		return handle(ctx, req)
	}
}

// startTrillian runs Trillian's log server and sequencer over memory storage, and CTFE before them; the two speak
// gRPC over a pipe in memory.
func startTrillian(ctx context.Context, l *Log, rootsFile string, interval time.Duration) (_ http.Handler, _ func(context.Context) error, err error) {
	registerKeys()
	trees := memory.NewTreeStorage()
	registry := extension.Registry{
		AdminStorage:  memory.NewAdminStorage(trees),
		LogStorage:    copying{memory.NewLogStorage(trees, monitoring.InertMetricFactory{})},
		QuotaManager:  quota.Noop(),
		MetricFactory: monitoring.InertMetricFactory{},
	}
	rpc := grpc.NewServer(grpc.ChainUnaryInterceptor(oneAtATime(), interceptor.ErrorWrapper))
	trillian.RegisterTrillianAdminServer(rpc, admin.New(registry, nil))
	trillian.RegisterTrillianLogServer(rpc, server.NewTrillianLogRPCServer(registry, clock.System))

	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	pipe := bufconn.Listen(1 << 20)
	running.Go(func() { _ = rpc.Serve(pipe) })
	sequencer := log.NewOperationManager(log.OperationInfo{
		Registry:    registry,
		BatchSize:   5000,
		NumWorkers:  1,
		RunInterval: interval,
		TimeSource:  clock.System,
	}, log.NewSequencerManager(registry, 0))
	running.Go(func() { sequencer.OperationLoop(ctx) })
	stop := func(context.Context) error {
		cancel()
		rpc.Stop()
		running.Wait()
		return nil
	}
	conn, err := grpc.NewClient("passthrough:///memory",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(256<<20)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }))
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("connecting to Trillian: %w", err), stop(ctx))
	}
	stopAll := func(ctx context.Context) error { return errors.Join(conn.Close(), stop(ctx)) }
	handler, err := frontend(ctx, l, conn, rootsFile)
	if err != nil {
		return nil, nil, errors.Join(err, stopAll(ctx))
	}
	return handler, stopAll, nil
}

// frontend creates the one tree of the log and puts CTFE before it.
func frontend(ctx context.Context, l *Log, conn *grpc.ClientConn, rootsFile string) (http.Handler, error) {
	logs := trillian.NewTrillianLogClient(conn)
	tree, err := client.CreateAndInitTree(ctx, &trillian.CreateTreeRequest{Tree: &trillian.Tree{
		TreeState:       trillian.TreeState_ACTIVE,
		TreeType:        trillian.TreeType_LOG,
		MaxRootDuration: durationpb.New(0),
	}}, trillian.NewTrillianAdminClient(conn), logs)
	if err != nil {
		return nil, fmt.Errorf("creating the tree: %w", err)
	}
	key, err := x509.MarshalECPrivateKey(l.Key)
	if err != nil {
		return nil, fmt.Errorf("encoding the private key: %w", err)
	}
	private, err := anypb.New(&keyspb.PrivateKey{Der: key})
	if err != nil {
		return nil, fmt.Errorf("wrapping the private key: %w", err)
	}
	u, err := url.Parse(l.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the URL of the log: %w", err)
	}
	valid, err := ctfe.ValidateLogConfig(&configpb.LogConfig{
		LogId:                 tree.TreeId,
		Prefix:                strings.Trim(u.Path, "/"),
		RootsPemFile:          []string{rootsFile},
		PrivateKey:            private,
		PublicKey:             &keyspb.PublicKey{Der: l.SPKI},
		MaxMergeDelaySec:      mergeDelay,
		ExpectedMergeDelaySec: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("configuring CTFE: %w", err)
	}
	instance, err := ctfe.SetUpInstance(ctx, ctfe.InstanceOptions{
		Validated:     valid,
		Client:        logs,
		Deadline:      10 * time.Second,
		MetricFactory: monitoring.InertMetricFactory{},
		RequestLog:    new(ctfe.DefaultRequestLog),
	})
	if err != nil {
		return nil, fmt.Errorf("setting up CTFE: %w", err)
	}
	mux := http.NewServeMux()
	for path, h := range instance.Handlers {
		mux.Handle(u.Host+path, h)
	}
	return mux, nil
}
