/*
 * Leadership time (rule R6): who may take over when, and how long a leader may answer linearizable reads.
 * docs/decisions/0009-cluster-protocol.md says what is modelled and why; scripts/check-model runs it.
 *
 * The log is left out: a candidate that learns that it won acknowledges a write at that very moment, before it could in
 * truth. What is checked: no leader answers a read once a later one has acknowledged a write.
 *
 * Each node has a clock of its own. A tick of real time moves it by one unit or by two, chosen anew each time: clocks may
 * differ by a factor of two in either direction, so leadership lasts half as long as what it relies on. A node need not make
 * a step at any time: that is a pause. Swaps take any time.
 */

#ifndef TERMS
#define TERMS 2
#endif
#ifndef CRASHES
#define CRASHES 1     /* restarts, all nodes together */
#endif
#ifndef SWAPS
#define SWAPS 1       /* renewals and changes of the set or of store_complete, all together */
#endif
#ifndef RELEASES
#define RELEASES 0    /* leaders that hand over, end in good order, or resign, all together */
#endif
#ifndef START_SET
#define START_SET 3
#endif
#ifndef START_COMPLETE
#define START_COMPLETE 0
#endif

#define PROMISE 4     /* election_timeout, in units of the member's clock */
#define WATCH 4       /* leadership_ttl, in units of the outsider's clock */
#ifdef WITHOUT_MARGIN
#define RELIED 4
#else
#define RELIED 2      /* so long a leader relies on either, in units of its own clock: less the margin for drift */
#endif

#define FOLLOWER 0
#define CANDIDATE 1
#define LEADING 2

#define NONE 0
#define SENT 1
#define WON 2
#define LOST 3

#define BIT(k) (1 << (k))
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define LESS(a, b) ((a) > (b) -> (a) - (b) : 0)

typedef Node {
    byte role;
    byte term;
    byte led;          /* highest term of which its log has an entry of its own */
    byte promise;      /* does not campaign so long */
    bit watches;       /* has seen the version of the record that is current, */
    byte watch;        /*   and has to see it so much longer */
    byte set;          /* leader: the record as it knows it */
    bit complete;
    byte renewed;      /* leader: relies so long on no outsider taking over */
    byte relies[3];    /* leader: relies so long on the promise of each */
    bit answered[3];   /* leader: see WITHOUT_SENT */
    bit checked;       /* leader: see WITHOUT_CHECK */
    byte swap;         /* the own swap under way, and what it would make of the record */
    byte swapTerm;
    byte swapSet;
    bit swapComplete;
    byte swapLeft;     /* how long it may be relied on, from when it was sent */
    byte lateTerm;     /* a swap of a former life that may land yet; 0: none */
    byte lateSet;
    bit lateComplete;
    bit lateResigned   /*   it says that nobody leads any more */
}
Node n[3];

byte recTerm = 1;
byte recLeader = 0;
byte recSet = START_SET;
bit recComplete = START_COMPLETE;
bit recResigned = 0;

byte newest = 1;       /* the highest term whose leader acknowledged a write */
byte heir[TERMS + 1];  /* whom the leader of each term has released from its promise: the node and 1; 0: nobody */

byte crashes = CRASHES;
byte swaps = SWAPS;
byte releases = RELEASES;

#define ME n[i]

inline noSwap() {
    ME.swap = NONE; ME.swapTerm = 0; ME.swapSet = 0; ME.swapComplete = 0; ME.swapLeft = 0
}
inline abandonSwap() {
    if
    :: ME.swap == SENT ->
        ME.lateTerm = ME.swapTerm; ME.lateSet = ME.swapSet; ME.lateComplete = ME.swapComplete; ME.lateResigned = 0
    :: else
    fi;
    noSwap()
}
inline forget() {
    abandonSwap();
    ME.role = FOLLOWER; ME.set = 0; ME.complete = 0; ME.renewed = 0; ME.checked = 0;
    ME.relies[0] = 0; ME.relies[1] = 0; ME.relies[2] = 0;
    ME.answered[0] = 0; ME.answered[1] = 0; ME.answered[2] = 0
}
#define VOID(a) \
    if \
    :: n[a].swap == SENT -> n[a].swap = LOST \
    :: else \
    fi; \
    n[a].lateTerm = 0; n[a].lateSet = 0; n[a].lateComplete = 0; n[a].lateResigned = 0; STALE(a)
#ifdef WITHOUT_VERSION
#define STALE(a) skip
#else
#define STALE(a) n[a].watches = 0; n[a].watch = 0
#endif

/* While a swap is under way, the old and the new record count. */
#ifdef WITHOUT_NEW
#define NEEDS_SET (ME.set)
#define NEEDS_RECORD (ME.complete)
#else
#ifdef WITHOUT_OLD
#define NEEDS_SET (ME.swap != NONE -> ME.swapSet : ME.set)
#define NEEDS_RECORD (ME.swap != NONE -> ME.swapComplete : ME.complete)
#else
#define NEEDS_SET (ME.set | ME.swapSet)
#define NEEDS_RECORD (ME.complete || ME.swapComplete)
#endif
#endif
#ifdef WITHOUT_EACH
#define HAS(a) (ME.relies[a] > 0)
#define PROMISED (HAS(0) || HAS(1) || HAS(2) || NEEDS_SET == BIT(i))
#else
#define HAS(a) (a == i || !(NEEDS_SET & BIT(a)) || ME.relies[a] > 0)
#define PROMISED (HAS(0) && HAS(1) && HAS(2))
#endif
#ifdef WITHOUT_RENEWAL
#define RENEWED true
#else
#define RENEWED (!NEEDS_RECORD || ME.renewed > 0)
#endif
#define LEADS (ME.role == LEADING && PROMISED && RENEWED)

#ifdef WITHOUT_UNDECIDED
#define MAY_PROMISE(a) (n[a].role != LEADING)
#else
#define MAY_PROMISE(a) (n[a].role == FOLLOWER)
#endif
#ifdef WITHOUT_TERM
#define REFUSES_NOT(a) true
#else
#define REFUSES_NOT(a) (n[a].term <= ME.term)
#endif
/*
 * A heartbeat. Its sending, its arrival and that of the answer are one step: the leader counts from when it sent it, so any
 * delay only makes it rely on less.
 */
#define HEARD(a) (a != i && ME.role == LEADING && (NEEDS_SET & BIT(a)) && MAY_PROMISE(a) && REFUSES_NOT(a))
#ifdef WITHOUT_SENT
#define HEARTBEAT(a) \
    :: d_step { HEARD(a) && !ME.answered[a] -> \
        n[a].promise = PROMISE; n[a].term = MAX(n[a].term, ME.term); ME.answered[a] = 1 } \
    :: d_step { ME.role == LEADING && ME.answered[a] -> ME.answered[a] = 0; ME.relies[a] = RELIED }
#else
#define HEARTBEAT(a) \
    :: d_step { HEARD(a) -> \
        n[a].promise = PROMISE; n[a].term = MAX(n[a].term, ME.term); ME.relies[a] = RELIED }
#endif

inline send(set_, complete_) {
    swaps--;
    ME.swapTerm = ME.term; ME.swapSet = set_; ME.swapComplete = complete_; ME.swapLeft = RELIED;
    /* No outsider can have seen a record yet that would make it eligible. */
    if
    :: !ME.complete && ME.swapComplete -> ME.renewed = RELIED
    :: else
    fi;
    ME.swap = (recTerm == ME.term -> SENT : LOST)
}
#define LEADS_FREE (ME.role == LEADING && ME.swap == NONE && swaps > 0)
#define GROW(a) \
    :: d_step { a != i && LEADS_FREE && !(ME.set & BIT(a)) -> send(ME.set | BIT(a), ME.complete) }
#define SHRINK(a) \
    :: d_step { a != i && LEADS_FREE && (ME.set & BIT(a)) -> \
        send(ME.set & ~BIT(a), (ME.complete || (ME.set & ~BIT(a)) == BIT(i))); earlyShrink() }
#ifdef WITHOUT_R3_FIRST
#define earlyShrink() ME.set = ME.swapSet
#else
#define earlyShrink() skip
#endif

#ifdef WITHOUT_PROMISE
#define MEMBER_MAY true
#else
#define MEMBER_MAY (ME.promise == 0 || recResigned)
#endif
#ifdef WITHOUT_WATCH
#define OUTSIDER_MAY true
#else
#define OUTSIDER_MAY ((ME.watches && ME.watch == 0) || recResigned)
#endif
#define MEMBER (recSet & BIT(i))
#ifdef WITHOUT_ELIGIBLE
#define MAY_CAMPAIGN (MEMBER -> MEMBER_MAY : OUTSIDER_MAY)
#else
#define MAY_CAMPAIGN (MEMBER -> MEMBER_MAY : (recComplete && OUTSIDER_MAY))
#endif

/* A node that starts may have forgotten a promise, but not to itself. */
#ifdef WITHOUT_START
#define START_PROMISE 0
#else
#ifdef WITHOUT_LED
#define START_PROMISE (recLeader == i -> 0 : PROMISE)
#else
#define START_PROMISE ((recLeader == i && ME.led == recTerm) -> 0 : PROMISE)
#endif
#endif

/*
 * A leader hands over: it releases a member from its promise, and leads no more from before the release is sent. Whether it
 * follows the heir or ends makes no difference here: it makes no more steps, or those of any follower and member. It may even
 * campaign at once; that it waits for election_timeout is left out, for it only lets the heir go first. If the heir does not get
 * everything in time, it follows without a release: as if that were lost.
 *
 * A release may never arrive, or at any time, or again and again. That a node takes it while it has not heard of a later term
 * is enough; whose heartbeat it promised on, which it looks at too, only makes it refuse more.
 */
#ifdef WITHOUT_STOP
#define stop() skip
#else
#define stop() forget()
#endif
#define RELEASE(a) \
    :: d_step { a != i && releases > 0 && ME.role == LEADING && heir[ME.term] == 0 -> \
        releases--; heir[ME.term] = a + 1; stop() }
#define TO_ME(t) (t <= TERMS && heir[t] == i + 1)
#ifdef WITHOUT_RELEASE_TERM
#define RELEASED (TO_ME(1) || TO_ME(2) || TO_ME(3))
#else
#define RELEASED TO_ME(ME.term)
#endif

/*
 * One that is alone in the set, and ends, says in the record that it leads no more; nobody has to wait for anything then. It
 * stops before it sends that swap, whatever becomes of it.
 */
#ifdef WITHOUT_RESIGN
#define stopToResign() skip
#else
#define stopToResign() forget()
#endif
inline resign() {
    releases--;
    stopToResign();
    ME.lateTerm = recTerm; ME.lateSet = recSet; ME.lateComplete = recComplete; ME.lateResigned = 1
}

proctype Run(byte i) {
end:
    do
    HEARTBEAT(0) HEARTBEAT(1) HEARTBEAT(2)

    /* A linearizable read. */
#ifdef WITHOUT_CHECK
    :: d_step { LEADS && !ME.checked -> ME.checked = 1 }
    :: d_step { ME.role == LEADING && ME.checked -> assert(newest <= ME.term); ME.checked = 0 }
#else
    :: d_step { LEADS -> assert(newest <= ME.term) }
#endif

    /* Swaps of a leader: renewal, the set, store_complete. */
    :: d_step { LEADS_FREE && ME.complete -> send(ME.set, 1) }
    GROW(0) GROW(1) GROW(2)
    SHRINK(0) SHRINK(1) SHRINK(2)
    :: d_step { LEADS_FREE && !ME.complete -> send(ME.set, 1) }
    :: d_step { LEADS_FREE && ME.complete && ME.set != BIT(i) -> send(ME.set, 0) }
    :: d_step { ME.role == LEADING && ME.swap == WON ->
        ME.set = ME.swapSet; ME.complete = ME.swapComplete;
        ME.renewed = (ME.complete -> MAX(ME.renewed, ME.swapLeft) : 0);
        noSwap() }
#ifdef WITHOUT_REFUSED
    :: d_step { ME.role == LEADING && ME.swap == LOST -> noSwap() }
#else
    :: d_step { ME.role == LEADING && ME.swap == LOST -> forget() }
#endif
#ifdef WITHOUT_S1
    :: d_step { ME.role == LEADING && ME.swap == SENT -> abandonSwap() }
#endif

    /* Take-over. */
    :: d_step { ME.role != LEADING && !ME.watches && recComplete && !MEMBER -> ME.watches = 1; ME.watch = WATCH }
    :: d_step { ME.role == FOLLOWER && recTerm < TERMS && recTerm >= ME.term && MAY_CAMPAIGN ->
        ME.role = CANDIDATE; ME.swap = SENT; ME.swapTerm = recTerm + 1; ME.swapLeft = RELIED;
        ME.swapSet = (MEMBER -> recSet : BIT(i)); ME.swapComplete = recComplete }
    :: d_step { ME.role == CANDIDATE && ME.swap == WON && ME.swapTerm > ME.term ->
        ME.role = LEADING; ME.term = ME.swapTerm; ME.led = ME.term; ME.set = ME.swapSet; ME.complete = ME.swapComplete;
        ME.renewed = (ME.complete -> ME.swapLeft : 0);
        ME.promise = 0; ME.watches = 0; ME.watch = 0;
        newest = MAX(newest, ME.term);
        noSwap() }
    :: d_step { ME.role == CANDIDATE && (ME.swap == LOST || (ME.swap == WON && ME.swapTerm <= ME.term)) -> forget() }
    /* A leader hears of a later term. */
    :: d_step { ME.role == LEADING && recTerm > ME.term -> forget() }

    /* Handing over, and ending in good order. */
    RELEASE(0) RELEASE(1) RELEASE(2)
    :: d_step { ME.role == FOLLOWER && ME.promise > 0 && RELEASED -> ME.promise = 0 }
    :: d_step { releases > 0 && ME.role == LEADING && ME.swap == NONE && ME.set == BIT(i) && recTerm == ME.term -> resign() }

    :: d_step { crashes > 0 ->
        crashes--;
        forget();
        ME.watches = 0; ME.watch = 0;
        ME.promise = START_PROMISE;
        ME.term = recTerm }
    od
}

/* A tick: each clock moves by one unit or by two. */
#define MOVE(a, d) \
    n[a].promise = LESS(n[a].promise, d); \
    n[a].watch = LESS(n[a].watch, d); \
    n[a].renewed = LESS(n[a].renewed, d); \
    n[a].swapLeft = LESS(n[a].swapLeft, d); \
    n[a].relies[0] = LESS(n[a].relies[0], d); n[a].relies[1] = LESS(n[a].relies[1], d); \
    n[a].relies[2] = LESS(n[a].relies[2], d)
#define TICK(a, b, c) :: d_step { true -> MOVE(0, a); MOVE(1, b); MOVE(2, c) }

#define LAND(a) \
    :: d_step { n[a].swap == SENT -> \
        recTerm = n[a].swapTerm; recSet = n[a].swapSet; recComplete = n[a].swapComplete; recLeader = a; \
        recResigned = 0; \
        n[a].swap = WON; \
        VOID(0); VOID(1); VOID(2) } \
    :: d_step { n[a].lateTerm != 0 -> \
        recTerm = n[a].lateTerm; recSet = n[a].lateSet; recComplete = n[a].lateComplete; recLeader = a; \
        recResigned = n[a].lateResigned; \
        VOID(0); VOID(1); VOID(2) }

proctype World() {
end:
    do
    TICK(1, 1, 1) TICK(1, 1, 2) TICK(1, 2, 1) TICK(1, 2, 2) TICK(2, 1, 1) TICK(2, 1, 2) TICK(2, 2, 1) TICK(2, 2, 2)
    LAND(0) LAND(1) LAND(2)
    od
}

/* Term 1: node 0 leads, and relies on nothing yet; the others may have promised something before. */
init {
    d_step {
        n[0].role = LEADING; n[0].led = 1; n[0].set = START_SET; n[0].complete = START_COMPLETE;
        n[0].term = 1; n[1].term = 1; n[2].term = 1
    }
    atomic {
        run World();
        run Run(0);
        run Run(1);
        run Run(2)
    }
}
