# The two commands of the README are `go run ./cmd/tocsin drill` and `make test`.
# RACE=-race turns the race detector on, as CI does.
STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
RACE ?=
GOTEST = go test $(RACE) -timeout 40m

.PHONY: siege year test build bench fuzz lint
test:
	$(GOTEST) ./...
	cd interop && $(GOTEST) ./...

build:
	go build -trimpath -o tocsin ./cmd/tocsin

bench:
	go test -run '^$$' -bench . -benchmem ./...

lint:
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	go vet ./...
	$(STATICCHECK) ./...
	cd interop && go vet ./...

# Each fuzz target for a few thousand inputs: FUZZTIME=1m make fuzz for longer. A number of inputs, since a fuzzer that is
# stopped by the clock may fail for that alone.
FUZZTIME ?= 4000x
fuzz:
	@set -e; for pkg in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "fuzz $$pkg $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; \
	  done; done

# Random fault schedules over eight logs, in synthetic time: 30 take a quarter of a minute, SCHEDULES=500 make siege is the
# full number. TOCSIN_SEED=N go test ./internal/siege repeats one. Under the race detector make test runs only a few.
SCHEDULES ?= 30
siege:
	TOCSIN_SCHEDULES=$(SCHEDULES) go test -timeout 60m ./internal/siege

# The year of an organisation, for twenty seeds: whole ones take some minutes, EVERY=8 plays the renewals of one service in
# eight. See docs/year.md.
YEARS ?= 20
EVERY ?= 1
year:
	TOCSIN_YEARS=$(YEARS) TOCSIN_YEARS_EVERY=$(EVERY) go test -count=1 -timeout 60m -run '^TestAYear$$' ./cmd/tocsin
