/*
 * The cluster protocol: log, chain in the object store, election record, take-over (rules R1-R5, L2, S1).
 * docs/decisions/0009-cluster-protocol.md says what is modelled and why; scripts/check-model runs it.
 *
 *   spin -a [-DNODES=.. -DTERMS=.. ...] [-DWITHOUT_rule] replication.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan
 *
 * Every option of a `do` below is one atomic step of a node or of the store; between any two of them anything else may
 * happen, a crash too. WITHOUT_rule takes the sentence of a rule away: a check has to fail then.
 *
 * How the world is kept small without losing behaviour:
 *  - An entry is its term; a log is a number with three bits for each index. That no (term, index) is given twice is an
 *    assertion, so a term and an index name one entry.
 *  - A leader only appends to its log while it leads. So whatever messages of term T are under way are pieces of the
 *    log `sent[T]`: any piece may arrive at any time, any number of times, in any order, also long after that leader died.
 *    The same holds for its uploads: any object of `sent[T]` may land at any time, as long as its name is free.
 *  - A node that is down is a node that makes no step: a restart is one step.
 *  - A sent swap lands later or never. As the record has a nonce, a swap that lands makes all others that are under way fail.
 *
 * And which steps are taken at once, or together, or as late as possible, because another order adds nothing. "Only helps"
 * means: what is gained by it appears in guards only so that more steps may be taken, and in assertions only so that they
 * demand more.
 *  - An acknowledgement is known to the leader at once, also of entries that the follower has already and that are fsynced: a
 *    message with those may arrive next. So is what a leader says is committed. Both only help.
 *  - Something is fsynced when a commit, an acknowledgement or the engine needs that it is: sooner only lets a crash take less.
 *    Once no crash can come, it is fsynced at once, and followers acknowledge at once: that only helps.
 *  - Once no more swaps can be sent, a leader commits at once what it can without another fsync: a commit only helps, but for the
 *    swaps that wait for everything that may be committed.
 *  - A campaign is sent when its swap lands: a candidate whose swap is under way does what a follower does, and the record is
 *    the version that it was sent against. One that crashes in between leaves a swap behind, and so may a follower here.
 *  - A leader learns at once that its swap won: until then it satisfies the new record too, and sends no other.
 *  - A winner replays the chain in the step in which it puts its fence: one that waits in between does nothing else. What may
 *    come in between, a message or a crash, has the effect that it has on a candidate that does not know yet that it won. So
 *    it is with a winner that finds the name of its fence taken, and replays again.
 *  - A put lands only when somebody may see that: when the chain ends before its name, or a winner or leader waits for that name.
 *    If it lands earlier, the name is taken, and nothing else can land there before somebody has seen what is there. What
 *    lands where the chain has passed, or a checkpoint, and nobody waits, is not looked at.
 *  - Of all higher terms that a leader may hear of, it hears of the next one: more of it only makes it refuse more.
 */

#ifndef NODES
#define NODES 3
#endif
#ifndef TERMS
#define TERMS 3         /* 1 ... 4 */
#endif
#ifndef INDEXES
#define INDEXES 4       /* 2 ... 4 */
#endif
#ifndef CRASHES
#define CRASHES 1       /* restarts, all nodes together */
#endif
#ifndef LOSSES
#define LOSSES 0        /* lost disks, one for each node at most */
#endif
#ifndef SWAPS
#define SWAPS 2         /* changes of the set or of store_complete that leaders ask for, all together */
#endif
#ifndef HANDOVERS
#define HANDOVERS 0     /* leaders that hand over and go on as followers, all together */
#endif
#ifndef PRUNES
#define PRUNES 0        /* checkpoints with the collection of the log behind them */
#endif
#ifndef START_SET
#define START_SET 3     /* the in-sync set at the start, a bit for each instance */
#endif
#ifndef START_COMPLETE
#define START_COMPLETE 0
#endif

/* Logs. */
#define AT(l, k)  ((((l) << 3) >> (3 * (k))) & 7)            /* term of the entry at index k; 0: none */
#define CUT(l, k) ((l) & ((1 << (3 * (k))) - 1))             /* the first k entries */
#define LEN(l)    ((l) > 511 -> 4 : ((l) > 63 -> 3 : ((l) > 7 -> 2 : ((l) > 0 -> 1 : 0))))
#define ADD(l, t) ((l) | ((t) << (3 * LEN(l))))
#define SAME(d)   ((d) & 7 -> 0 : ((d) & 63 -> 1 : ((d) & 511 -> 2 : ((d) & 4095 -> 3 : 4))))
#define AGREED(a, b) ((a) == (b) -> LEN(a) : SAME((a) ^ (b))) /* so many entries both have before they differ */
#define PREFIX(a, b) (CUT(b, LEN(a)) == (a))                 /* a is the beginning of b */
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define MIN(a, b) ((a) < (b) -> (a) : (b))

/* Objects of the log, one or two entries: the uploader's term, term of the previous position, terms of the entries. */
#define HEADER(o)   ((o) & 7)
#define PREVIOUS(o) (((o) >> 3) & 7)
#define FIRST(o)    (((o) >> 6) & 7)
#define SECOND(o)   (((o) >> 9) & 7)
#define BIT(k)      (1 << (k))
#define PAIR(t, k)  (LEN(sent[t]) > (k) && !(cuts[t] & BIT((k) + 1)))
#define OBJECT(t, k) ((t) | (AT(sent[t], (k) - 1) << 3) | (AT(sent[t], k) << 6) | (PAIR(t, k) -> (AT(sent[t], (k) + 1) << 9) : 0))
#define END(t, k)   ((k) + (PAIR(t, k) -> 1 : 0))

/* Roles. Fencing has won its term and may not create entries yet. */
#define FOLLOWER 0
#define CANDIDATE 1   /* its swap has won, which it does not know yet */
#define FENCING 2
#define LEADING 3

#if LOSSES
#define INSTANCES (2 * NODES)
#else
#define INSTANCES NODES
#endif

/* A swap. */
#define NONE 0
#define SENT 1     /* may land; read back, the record is unchanged, which proves nothing */
#define WON 2      /* of a candidate */
#define LOST 3

typedef Node {
    unsigned role : 2;
    unsigned term : 3;     /* the highest one heard of: lower ones are refused */
    unsigned id : 3;       /* instance: number of the node, plus NODES once its disk is new */
    unsigned log : 12;
    unsigned durable : 3;  /* so many entries are fsynced */
    unsigned set : 6;      /* leader: the record as it knows it */
    bit complete;
    unsigned swap : 2;     /* the own swap under way, and what it would make of the record */
    unsigned swapTerm : 3;
    unsigned swapSet : 6;
    bit swapComplete;
    unsigned lateTerm : 3; /* a swap of a former life of this node that may land yet; 0: none */
    unsigned lateSet : 6;
    bit lateComplete;
    unsigned commit : 3;   /* leader: committed index, */
    unsigned stored : 3;   /*         own log in the chain up to here, as far as it knows, */
    unsigned taken : 3;    /*         end of its log at the take-over, its own term entry included */
    unsigned applied : 3;  /* so many entries its engine has at most; they cannot be undone */
    byte ack[INSTANCES]
}

Node n[NODES];

/* The record. */
byte recTerm = 1;
byte recLeader = 0;
byte recSet = START_SET;
bit recComplete = START_COMPLETE;

/* The leader of each term: its log, where its objects begin, its fence, what of it landed; which term has a fence. */
short sent[TERMS + 1];
byte cuts[TERMS + 1];
byte fence[TERMS + 1];
byte landed[TERMS + 1];
byte fenced = 2;

/* The store. */
short object[INDEXES + 2];
byte over[TERMS + 1];                     /* If-Match puts under way, by name: they replace the orphan that is there */
byte base = 0;                            /* the checkpoint ends here, */
byte baseHeader = 0;                      /* with an object of this term */

/* What the assertions look at. */
short chain = 1;      /* what a reader of the store takes for the log */
short committed = 1;  /* everything that was acknowledged or is in the chain */
short committedBy = 1;  /* and in which term it was, like a log */
byte header = 1;      /* the highest uploader's term in the chain */
byte told[TERMS + 1]; /* what each leader said is committed */
byte handed;          /* terms whose leader has handed over */

#if PRUNES
byte fences = 2;               /* names of the chain's fences: where its header term rises */
byte ends = 2;                 /* where objects of the chain end, */
short headers = 1;             /*   and their header terms, like a log */
short stale[TERMS + 1];        /* a fence that found its name taken, and may land yet */
byte staleName[TERMS + 1];
#endif

byte crashes = CRASHES;
byte losses = LOSSES;
byte swaps = SWAPS;
byte prunes = PRUNES;
byte handovers = HANDOVERS;

hidden byte j, k, h, a, q;
hidden short x, o;

#define ME n[i]
#define SELF BIT(n[i].id)

/* No two logs agree on an entry and differ before it, also that of a leader which is gone. */
inline matches(other_) {
    k = AGREED(ME.log, other_) + 2;
    do
    :: k <= INDEXES -> assert(AT(ME.log, k) == 0 || AT(ME.log, k) != AT(other_, k)); k++
    :: else -> break
    od
}
inline logMatching() {
    j = 0;
    do
    :: j < NODES -> matches(n[j].log); j++
    :: else -> break
    od;
    j = 1;
    do
    :: j <= TERMS ->
        if
        :: fenced & BIT(j) -> matches(sent[j])
        :: else
        fi;
        j++
    :: else -> break
    od;
    skip
}

/* Leader completeness: what term `by_` committed is in the log of every later leader. */
inline inLaterLogs(log_, end_, by_) {
    j = by_ + 1;
    do
    :: j <= TERMS -> assert(!(fenced & BIT(j)) || CUT(sent[j], end_) == CUT(log_, end_)); j++
    :: else -> break
    od;
    skip
}
/* store_complete tells the truth. */
#define TRUTH (!recComplete || PREFIX(committed, chain))

/* Everything in `log_` up to `end_` is committed by term `by_`, by acknowledgements or by being in the chain. */
inline nowCommitted(log_, end_, by_) {
    x = CUT(log_, end_);
    if
    :: LEN(committed) >= end_ -> assert(CUT(committed, end_) == x)
    :: else ->
        assert(PREFIX(committed, x));
        do
        :: LEN(committed) < end_ ->
            committedBy = committedBy | (by_ << (3 * LEN(committed)));
            committed = CUT(x, LEN(committed) + 1)
        :: else -> break
        od
    fi;
    inLaterLogs(log_, end_, by_)
}

#ifdef WITHOUT_L2_PREVIOUS
#define FOLLOWS(o, t) true
#else
#define FOLLOWS(o, t) (PREVIOUS(o) == (t))
#endif
#ifdef WITHOUT_L2_HEADER
#define NOT_DEPOSED(o, h) true
#else
#define NOT_DEPOSED(o, h) (HEADER(o) >= (h))
#endif
/* Reads the chain from the checkpoint on. */
inline walk() {
    o = CUT(chain, base);
    k = base + 1;
    h = baseHeader;
    do
    :: object[k] != 0 && FOLLOWS(object[k], AT(o, k - 1)) && NOT_DEPOSED(object[k], h) ->
#if PRUNES
        if
        :: HEADER(object[k]) > h -> fences = fences | BIT(k)
        :: else
        fi;
        ends = ends | BIT(k + (SECOND(object[k]) -> 1 : 0));
        headers = headers & ~(63 << (3 * (k - 1)));
        headers = headers | (HEADER(object[k]) << (3 * (k - 1))) |
            (SECOND(object[k]) -> (HEADER(object[k]) << (3 * k)) : 0);
#endif
        h = HEADER(object[k]);
        o = o | (FIRST(object[k]) << (3 * (k - 1)));
        k++;
        if
        :: SECOND(object[k - 1]) -> o = o | (SECOND(object[k - 1]) << (3 * (k - 1))); k++
        :: else
        fi;
        if
        :: LEN(o) > LEN(chain) -> nowCommitted(o, k - 1, h)
        :: else
        fi
    :: else -> break
    od;
    assert(PREFIX(chain, o));  /* the chain only grows */
    chain = o;
    header = h;
    assert(TRUTH)
}

/* A leader learns of its uploads at once: to know it later is to act on it later. */
#define LEARN(a, t) \
    if \
    :: n[a].role == LEADING && n[a].term == t && (landed[t] & BIT(n[a].stored + 1)) -> \
        n[a].stored = END(t, n[a].stored + 1) \
    :: else \
    fi
inline nowStored(by_) {
    j = 0;
    do
    :: j < NODES -> LEARN(j, by_); LEARN(j, by_); LEARN(j, by_); LEARN(j, by_); j++
    :: else -> break
    od;
    skip
}

inline recordChanged() {
    j = 0;
    do
    :: j < NODES ->
        if
        :: n[j].swap == SENT -> n[j].swap = LOST
        :: else
        fi;
        n[j].lateTerm = 0; n[j].lateSet = 0; n[j].lateComplete = 0;
        j++
    :: else -> break
    od;
    assert(TRUTH);
    assert(recComplete || (recSet & (recSet - 1)))
}

/* The node forgets what only a leader or candidate knows; what it sent may land yet. */
inline forget() {
    if
    :: ME.swap == SENT -> ME.lateTerm = ME.swapTerm; ME.lateSet = ME.swapSet; ME.lateComplete = ME.swapComplete
    :: else
    fi;
    /* What of its uploads lands is of no interest any more. */
    if
    :: ME.role >= FENCING -> landed[ME.term] = 0
    :: else
    fi;
    ME.swap = NONE; ME.swapTerm = 0; ME.swapSet = 0; ME.swapComplete = 0;
    ME.role = FOLLOWER; ME.set = 0; ME.complete = 0; ME.commit = 0; ME.stored = 0; ME.taken = 0;
    j = 0;
    do
    :: j < INSTANCES -> ME.ack[j] = 0; j++
    :: else -> break
    od;
    skip
}

/* Without a crash to come, nobody can tell what is fsynced. */
#define SYNCED(node) node.durable = (crashes == 0 -> LEN(node.log) : node.durable)

/* The chain is taken into the log; where they disagree the chain wins. It is applied once it is fsynced. */
inline adopt() {
    if
    :: !PREFIX(chain, ME.log) ->
        assert(ME.applied <= LEN(chain) && CUT(ME.log, ME.applied) == CUT(chain, ME.applied));
        do
        :: CUT(ME.log, ME.durable) != CUT(chain, ME.durable) -> ME.durable--
        :: else -> break
        od;
        ME.log = chain
    :: else
    fi;
    SYNCED(ME);
    ME.applied = MAX(ME.applied, MIN(LEN(chain), ME.durable));
#ifndef WITHOUT_HEADER
    ME.term = MAX(ME.term, header);
#endif
    ME.term = MAX(ME.term, AT(ME.log, LEN(ME.log)))
}

#ifdef WITHOUT_TERM
#define REFUSES_NOT(t) (ME.role < FENCING || t > ME.term)
#else
#define REFUSES_NOT(t) (ME.term <= t)
#endif
#define MAY_HEAR(t) ((fenced & BIT(t)) && REFUSES_NOT(t) && !(ME.role >= FENCING && ME.term == t))
#define AGREES(t) AGREED(ME.log, sent[t])
/* What it acknowledges is fsynced, also what it wrote as a leader. */
#ifdef WITHOUT_FSYNC
#define fsync() skip
#else
#define fsync() ME.durable = MAX(ME.durable, q)
#endif
#define ACKS(b, t) (b < NODES && n[b].role == LEADING && n[b].term == t && n[b].ack[ME.id] < AGREES(t))
#define ACKS_MORE(t) (ACKS(0, t) || ACKS(1, t) || ACKS(NODES - 1, t))

/*
 * A piece of the log of term t arrives. One of which the node has everything, or the entry behind those that it has: as no two
 * logs agree on an entry and differ before it, the entry before that is the last one on which the node agrees.
 */
#define HEAR(t) \
    :: d_step { MAY_HEAR(t) && (ME.term < t || ACKS_MORE(t) || ME.applied < MIN(AGREES(t), told[t])) -> \
        heard(t); q = (ME.durable < AGREES(t) -> ME.durable + 1 : AGREES(t)); acknowledge(t) }
#define TAKE(t) \
    :: d_step { MAY_HEAR(t) && AGREES(t) < LEN(sent[t]) -> heard(t); q = AGREES(t); take(t) }
/* The entry before is not looked at. */
#define TAKE_ANY(t, p) \
    :: d_step { MAY_HEAR(t) && LEN(ME.log) >= p && p < LEN(sent[t]) && AT(ME.log, p + 1) != AT(sent[t], p + 1) -> \
        heard(t); q = p; take(t) }

inline heard(by_) {
    if
    :: ME.role >= FENCING || (ME.role == CANDIDATE && ME.swapTerm <= by_) -> forget()
    :: else
    fi;
    ME.term = MAX(ME.term, by_)
}
inline acknowledge(by_) {
    fsync();
    SYNCED(ME);
    ME.applied = MAX(ME.applied, MIN(q, told[by_]));
    j = 0;
    do
    :: j < NODES ->
        if :: n[j].role == LEADING && n[j].term == by_ && n[j].ack[ME.id] < q -> n[j].ack[ME.id] = q :: else fi;
        j++
    :: else -> break
    od;
    commitAll()
}
/* Takes the entry behind q. A conflicting tail goes; nothing of it was applied. */
inline take(by_) {
    assert(LEN(ME.log) == q || ME.applied <= q);
    ME.log = CUT(ME.log, q);
    ME.durable = MIN(ME.durable, q);
    ME.log = ADD(ME.log, AT(sent[by_], q + 1));
    logMatching();
    /* Without a crash to come it is fsynced and acknowledged at once. */
    q++;
    if
    :: crashes == 0 -> acknowledge(by_)
    :: else
    fi;
    skip
}
/* R1, and the rule of the old and the new record while a swap is under way. */
#define PENDING(a) (n[a].swap != NONE)
#ifdef WITHOUT_OLD
#define NEEDS_SET(a) (PENDING(a) -> n[a].swapSet : n[a].set)
#define NEEDS_CHAIN(a) (PENDING(a) -> n[a].swapComplete : n[a].complete)
#else
#ifdef WITHOUT_NEW
#define NEEDS_SET(a) (n[a].set)
#define NEEDS_CHAIN(a) (n[a].complete)
#else
#define NEEDS_SET(a) (n[a].set | n[a].swapSet)
#define NEEDS_CHAIN(a) (n[a].complete || n[a].swapComplete)
#endif
#endif
#define HAS(a, b, c) (!(NEEDS_SET(a) & BIT(b)) || b == n[a].id || n[a].ack[b] >= c)
#if INSTANCES == 2
#define ALL_HAVE(a, c) (HAS(a, 0, c) && HAS(a, 1, c))
#else
#if INSTANCES == 3
#define ALL_HAVE(a, c) (HAS(a, 0, c) && HAS(a, 1, c) && HAS(a, 2, c))
#else
#if INSTANCES == 4
#define ALL_HAVE(a, c) (HAS(a, 0, c) && HAS(a, 1, c) && HAS(a, 2, c) && HAS(a, 3, c))
#else
#define ALL_HAVE(a, c) (HAS(a, 0, c) && HAS(a, 1, c) && HAS(a, 2, c) && HAS(a, 3, c) && HAS(a, 4, c) && HAS(a, 5, c))
#endif
#endif
#endif
#define SEVERAL(s) ((s) & ((s) - 1))

#define MAY_COMMIT(a) (n[a].role == LEADING && LEN(n[a].log) > n[a].commit && ALL_HAVE(a, n[a].commit + 1) && \
    (!NEEDS_CHAIN(a) || n[a].stored > n[a].commit))
inline commitOne() {
    n[a].commit++;
    n[a].durable = MAX(n[a].durable, n[a].commit);
    /* Durability: on two disks or in the store. */
    assert(SEVERAL(NEEDS_SET(a)) || LEN(chain) >= n[a].commit);
    told[n[a].term] = MAX(told[n[a].term], n[a].commit);
    n[a].applied = MAX(n[a].applied, n[a].commit);
    nowCommitted(n[a].log, n[a].commit, n[a].term);
    assert(TRUTH);
    /* Whoever follows this leader may be told at once, and fsynced this. */
    j = 0;
    do
    :: j < NODES ->
        if
        :: n[j].role < FENCING && n[j].term == n[a].term && n[j].durable >= n[a].commit && n[j].applied < n[a].commit &&
            CUT(n[j].log, n[a].commit) == CUT(n[a].log, n[a].commit) -> n[j].applied = n[a].commit
        :: else
        fi;
        j++
    :: else -> break
    od;
    skip
}
inline commitAll() {
    if
    :: swaps == 0 ->
        a = 0;
        do
        :: a < NODES ->
            if
            :: MAY_COMMIT(a) && n[a].durable > n[a].commit -> commitOne()
            :: else -> a++
            fi
        :: else -> break
        od
    :: else
    fi;
    skip
}

/* Everything that may be committed: what this leader committed, and all that it found when it took over. */
#ifdef WITHOUT_TAKEN
#define MAYBE_COMMITTED (ME.commit)
#else
#define MAYBE_COMMITTED (MAX(ME.commit, ME.taken))
#endif

#define LEADS_FREE (ME.role == LEADING && ME.swap == NONE && swaps > 0)

inline send(set_, complete_) {
    swaps--;
    ME.swapTerm = ME.term; ME.swapSet = set_; ME.swapComplete = complete_;
    ME.swap = (recTerm == ME.term -> SENT : LOST)
}
inline swapWon(b) {
    n[b].set = n[b].swapSet; n[b].complete = n[b].swapComplete;
    n[b].swap = NONE; n[b].swapTerm = 0; n[b].swapSet = 0; n[b].swapComplete = 0
}

#ifdef WITHOUT_R2
#define MAY_GROW(b) true
#else
#define MAY_GROW(b) (ME.ack[n[b].id] >= MAYBE_COMMITTED)
#endif
#define GROW(b) \
    :: d_step { b != i && LEADS_FREE && !(ME.set & BIT(n[b].id)) && MAY_GROW(b) -> \
        send(ME.set | BIT(n[b].id), ME.complete) }

#ifdef WITHOUT_R3_LAST
#define LAST_OUT(b) (ME.complete)
#else
#define LAST_OUT(b) (!SEVERAL(ME.set & ~BIT(b)) || ME.complete)
#endif
#ifdef WITHOUT_R4_TRUE
#define ALL_STORED true
#else
#define ALL_STORED (ME.stored >= MAYBE_COMMITTED)
#endif
#define SHRINK(b) \
    :: d_step { b != ME.id && LEADS_FREE && (ME.set & BIT(b)) && (!LAST_OUT(b) || ME.complete || ALL_STORED) -> \
        send(ME.set & ~BIT(b), LAST_OUT(b)); earlyShrink() }
#ifdef WITHOUT_R3_FIRST
#define earlyShrink() ME.set = ME.swapSet
#else
#define earlyShrink() skip
#endif

#ifdef WITHOUT_R4_FALSE
#define earlyFalse() ME.complete = 0; ME.swapComplete = 0
#else
#define earlyFalse() skip
#endif

#ifdef WITHOUT_ELIGIBLE
#define ELIGIBLE true
#else
#define ELIGIBLE ((recSet & SELF) || recComplete)
#endif
#ifdef WITHOUT_KEEP_SET
#define WINNERS_SET SELF
#else
#define WINNERS_SET ((recSet & SELF) -> recSet : SELF)
#endif

/* Replays the chain and sends the fence: `size` entries of the own log behind the chain, or the term entry. */
#define BEHIND (PREFIX(chain, ME.log) -> LEN(ME.log) - LEN(chain) : 0)
#define FENCE(size) \
    :: d_step { (HAS_WON || AGAIN) && LEN(chain) < INDEXES && (size == 1 || BEHIND >= size) -> \
        begin(); sendFence(size) }
#define HAS_WON (ME.role == CANDIDATE && ME.swap == WON && ME.swapTerm > ME.term && !DEPOSED(ME.swapTerm))
/* It finds the name taken (412), or covered by a checkpoint. */
#define AGAIN (ME.role == FENCING && (TAKEN || (HAS_LANDED && COVERED)) && !DEPOSED(ME.term))
#define HAS_LANDED (landed[ME.term] & BIT(fence[ME.term]))
#define TAKEN (!HAS_LANDED && object[fence[ME.term]] != 0 && LEN(chain) >= fence[ME.term])
/* Behind a later leader's fence an object of this term would not belong to the chain. */
#ifdef WITHOUT_GIVE_UP
#define DEPOSED(t) false
#else
#define DEPOSED(t) (header > (t))
#endif
/* A deposed leader that does not know it yet may have filled the name, made a checkpoint, and deleted the object again. */
#ifdef WITHOUT_HEAD
#define COVERED false
#else
#define COVERED (base >= fence[ME.term])
#endif
inline begin() {
    if
    :: ME.role == CANDIDATE ->
        ME.term = ME.swapTerm; ME.set = ME.swapSet; ME.complete = ME.swapComplete;
        ME.swap = NONE; ME.swapTerm = 0; ME.swapSet = 0; ME.swapComplete = 0
    :: else
    fi;
#if PRUNES
    /* A late repeat of a put whose answer was 412. */
    if
    :: ME.role == FENCING && TAKEN -> stale[ME.term] = OBJECT(ME.term, fence[ME.term]); staleName[ME.term] = fence[ME.term]
    :: else
    fi;
#endif
    sent[ME.term] = 0; cuts[ME.term] = 0; fence[ME.term] = 0; landed[ME.term] = 0; over[ME.term] = 0
}
inline sendFence(size) {
    h = ME.term;
    adopt();
    ME.term = h;
    logMatching();
    k = LEN(chain) + 1;
    fence[ME.term] = k;
    cuts[ME.term] = BIT(k);
#ifdef WITHOUT_TAIL
    ME.log = chain;
    ME.durable = MIN(ME.durable, LEN(chain));
#endif
    sent[ME.term] = (LEN(ME.log) >= k -> ME.log : ADD(ME.log, ME.term));
    /* The rest of the tail goes into objects of one entry. */
    cuts[ME.term] = cuts[ME.term] | (size == 1 -> BIT(k + 1) : 0) | BIT(k + 2) | BIT(k + 3) | BIT(k + 4);
    cuts[ME.term] = cuts[ME.term] & (BIT(LEN(sent[ME.term]) + 1) - 1);
    ME.role = FENCING;
#ifdef WITHOUT_FENCE
    established()
#endif
}
inline established() {
    ME.role = LEADING;
    fenced = fenced | BIT(ME.term);
    if
    :: AT(sent[ME.term], LEN(sent[ME.term])) != ME.term ->
        sent[ME.term] = ADD(sent[ME.term], ME.term);
        cuts[ME.term] = cuts[ME.term] | BIT(LEN(sent[ME.term]))
    :: else
    fi;
    ME.log = sent[ME.term];
    ME.taken = LEN(ME.log);
    ME.commit = 0;
    ME.stored = fence[ME.term] - 1;
    /* Leader completeness. */
    k = 1;
    do
    :: k <= LEN(committed) -> assert(AT(committedBy, k) >= ME.term || CUT(ME.log, k) == CUT(committed, k)); k++
    :: else -> break
    od;
    SYNCED(ME);
    /* Handing over loses nothing that was taken. */
    j = 1;
    do
    :: j < ME.term -> assert(!(handed & BIT(j)) || PREFIX(sent[j], ME.log)); j++
    :: else -> break
    od;
    nowStored(ME.term);
    logMatching();
    commitAll()
}

/* `lost`: so many of the entries that were not fsynced are gone; what is left is copied and fsynced before anything else. */
#define RESTART(lost) \
    :: d_step { crashes > 0 && LEN(ME.log) >= ME.durable + lost && (lost > 0 || ME.role != FOLLOWER) -> \
        h = ME.term; forget(); restart(lost) } \
    :: d_step { crashes > 0 && LEN(ME.log) >= ME.durable + lost && MAY_CAMPAIGN -> \
        h = ME.term; leaveSwap(); restart(lost) }
#define MAY_CAMPAIGN (ME.role == FOLLOWER && recTerm < TERMS && recTerm >= ME.term && ELIGIBLE)
inline leaveSwap() {
    ME.lateTerm = recTerm + 1; ME.lateSet = WINNERS_SET; ME.lateComplete = recComplete
}
inline restart(lost) {
    crashes--;
    ME.log = CUT(ME.log, LEN(ME.log) - lost);
    ME.durable = LEN(ME.log);
    k = 0;
    do
    :: k < NODES -> SYNCED(n[k]); k++
    :: else -> break
    od;
    ME.term = AT(ME.log, LEN(ME.log));
#ifndef WITHOUT_READ
    ME.term = MAX(ME.term, recTerm);
#endif
#ifdef WITHOUT_OWN
    if
    :: recLeader == i && h == recTerm && (fenced & BIT(h)) ->
        ME.role = LEADING; ME.term = recTerm; ME.set = recSet; ME.complete = recComplete;
        ME.taken = LEN(ME.log); ME.stored = LEN(chain)
    :: else
    fi
#else
    skip
#endif
}

/* A new disk is a new instance. */
inline lose() {
    losses--;
#ifndef WITHOUT_INSTANCE
    ME.id = ME.id + NODES;
#endif
    ME.log = 0; ME.durable = 0; ME.applied = 0; ME.term = recTerm
}

/*
 * A leader that hands over takes nothing any more, and follows once all that it took is committed, so that every member has
 * it, the heir too: one step, for whatever it does before is what a leader does. If that takes too long it follows without.
 * The release lets the heir campaign sooner, which here it may at any time.
 */
#ifdef WITHOUT_HEIR
#define ALL_COMMITTED true
#else
#define ALL_COMMITTED (ME.commit == LEN(ME.log) && ME.swap == NONE)
#endif
#ifdef WITHOUT_SEAL
#define sealed() skip
#else
#define sealed() forget()
#endif
#define HAND_OVER \
    :: d_step { handovers > 0 && ME.role == LEADING && ME.commit >= ME.taken && ALL_COMMITTED -> \
        handovers--; handed = handed | BIT(ME.term); sealed() } \
    :: d_step { handovers > 0 && ME.role == LEADING -> handovers--; forget() }

inline hear(later_) {
    h = later_;
    forget();
    ME.term = h
}

/* A checkpoint that covers the log up to `end`, and the collection of what it covers; fences stay. */
#ifdef WITHOUT_CHECKPOINT_HEADER
#define HEADER_AT(end) AT(chain, end)
#else
#define HEADER_AT(end) AT(headers, end)
#endif
#define CHECKPOINT(end) \
    :: d_step { prunes > 0 && ME.role == LEADING && ME.commit >= end && base < end && LEN(chain) >= end && \
        (ends & BIT(end)) -> \
        prunes--; base = end; baseHeader = HEADER_AT(end); collect() }
#ifdef WITHOUT_FENCES
#define KEPT false
#else
#ifdef WITHOUT_CHAIN_FENCES
#define KEPT (!(j & BIT(HEADER(object[k]))))
#else
#define KEPT (fences & BIT(k))
#endif
#endif
inline collect() {
    k = 1;
    j = 0;  /* header terms of objects with a lower name */
    do
    :: k <= base ->
        o = object[k];
        if
        :: o != 0 && !KEPT -> object[k] = 0
        :: else
        fi;
        j = j | (o != 0 -> BIT(HEADER(o)) : 0);
        k++
    :: else -> break
    od;
    skip
}

proctype Run(byte i) {
end:
    do
    /* The log of a leader. */
    :: d_step { ME.role == LEADING && ME.commit >= ME.taken && LEN(ME.log) < INDEXES ->
        ME.log = ADD(ME.log, ME.term);
        assert(LEN(sent[ME.term]) < LEN(ME.log));  /* no (term, index) is given twice */
        sent[ME.term] = ME.log;
        cuts[ME.term] = cuts[ME.term] | BIT(LEN(ME.log));
        SYNCED(ME);
        logMatching();
        commitAll() }
    :: d_step { MAY_COMMIT(i) -> a = i; commitOne() }

    /* Messages. */
    HEAR(1) TAKE(1)
#if TERMS > 1
    HEAR(2) TAKE(2)
#endif
#if TERMS > 2
    HEAR(3) TAKE(3)
#endif
#if TERMS > 3
    HEAR(4) TAKE(4)
#endif
#ifdef WITHOUT_PREVIOUS
    TAKE_ANY(1, 1) TAKE_ANY(1, 2) TAKE_ANY(1, 3) TAKE_ANY(2, 1) TAKE_ANY(2, 2) TAKE_ANY(2, 3)
#endif
    /* Catching up from the store. */
    :: d_step { ME.role < FENCING && !PREFIX(chain, ME.log) -> adopt(); logMatching() }
    :: d_step { ME.role < FENCING && PREFIX(chain, ME.log) && ME.applied < LEN(chain) ->
        ME.durable = MAX(ME.durable, LEN(chain)); adopt() }

    /* Swaps of a leader. */
    GROW(0) GROW(1)
    SHRINK(0) SHRINK(1)
#if NODES > 2
    GROW(2)
    SHRINK(2)
#endif
    :: d_step { LEADS_FREE && !ME.complete && ALL_STORED -> send(ME.set, 1) }
    :: d_step { LEADS_FREE && ME.complete && SEVERAL(ME.set) -> send(ME.set, 0); earlyFalse() }
    :: d_step { ME.role == LEADING && ME.swap == LOST ->
#ifdef WITHOUT_REFUSED
        ME.swap = NONE; ME.swapTerm = 0; ME.swapSet = 0; ME.swapComplete = 0
#else
        forget()
#endif
        }
#ifdef WITHOUT_S1
    :: d_step { ME.role == LEADING && ME.swap == SENT ->
        ME.lateTerm = ME.swapTerm; ME.lateSet = ME.swapSet; ME.lateComplete = ME.swapComplete;
        ME.swap = NONE; ME.swapTerm = 0; ME.swapSet = 0; ME.swapComplete = 0 }
#endif

    /* Take-over. */
#ifdef WITHOUT_EXACT
    :: d_step { MAY_CAMPAIGN -> ME.role = CANDIDATE }
    :: d_step { ME.role == CANDIDATE && ME.swap == NONE && recTerm < TERMS && recTerm >= ME.term ->
#else
    :: d_step { MAY_CAMPAIGN ->
#endif
        ME.role = CANDIDATE; ME.swap = WON; ME.swapTerm = recTerm + 1;
        ME.swapSet = WINNERS_SET; ME.swapComplete = recComplete;
        recTerm = ME.swapTerm; recSet = ME.swapSet; recLeader = i;
        recordChanged() }
    :: d_step { ME.role == CANDIDATE && ME.swap == WON && ME.swapTerm <= ME.term -> forget() }
    FENCE(1)
    FENCE(2)
    /* The fence is in the chain: now entries of the term may exist. */
    :: d_step { ME.role == FENCING && HAS_LANDED && !COVERED &&
        (AT(sent[ME.term], LEN(sent[ME.term])) == ME.term || LEN(sent[ME.term]) < INDEXES) -> established() }
    /* 412: an orphan has the name of the fence. */
    :: d_step { ME.role == FENCING && !HAS_LANDED && object[fence[ME.term]] != 0 && LEN(chain) < fence[ME.term] &&
        !(over[ME.term] & BIT(fence[ME.term])) ->
        if
        :: HEADER(object[fence[ME.term]]) > ME.term -> hear(ME.term + 1)
        :: else -> over[ME.term] = over[ME.term] | BIT(fence[ME.term])
        fi;
        skip }
    /* It hears of a later term, from anybody or from the record, and leads no more. */
    :: d_step { ME.role >= FENCING && recTerm > ME.term -> hear(ME.term + 1) }
    :: d_step { ME.role == CANDIDATE && ME.swap == WON && recTerm > ME.swapTerm -> hear(ME.swapTerm + 1) }
#if HANDOVERS
    HAND_OVER
#endif
    /* 412 to the next upload. */
    :: d_step { ME.role == LEADING && ME.stored < LEN(ME.log) && !(landed[ME.term] & BIT(ME.stored + 1)) &&
        object[ME.stored + 1] != 0 && !(over[ME.term] & BIT(ME.stored + 1)) ->
        if
        :: HEADER(object[ME.stored + 1]) > ME.term -> hear(ME.term + 1)
        :: else -> over[ME.term] = over[ME.term] | BIT(ME.stored + 1)
        fi;
        skip }

#if PRUNES
    CHECKPOINT(2) CHECKPOINT(3)
#if INDEXES > 3
    CHECKPOINT(4)
#endif
#endif
#ifdef WITHOUT_JOIN
    :: d_step { ME.role < FENCING && LEN(ME.log) < INDEXES && object[LEN(ME.log) + 1] != 0 &&
        PREVIOUS(object[LEN(ME.log) + 1]) == AT(ME.log, LEN(ME.log)) ->
        ME.log = ADD(ME.log, FIRST(object[LEN(ME.log) + 1]));
        ME.durable = LEN(ME.log); ME.applied = LEN(ME.log) }
#endif

    /* Faults. */
#if CRASHES
    RESTART(0) RESTART(1) RESTART(2) RESTART(3)
#endif
#if LOSSES
    :: d_step { losses > 0 && ME.id < NODES -> forget(); lose() }
    :: d_step { losses > 0 && ME.id < NODES && MAY_CAMPAIGN -> leaveSwap(); lose() }
#endif
    od;
    skip
}

/* The store: puts land, in any order, or never. */
#define LAND(t, k) \
    :: d_step { (cuts[t] & BIT(k)) && ((fenced & BIT(t)) || fence[t] == k) && \
        (object[k] == 0 || (over[t] & BIT(k))) && SEEN(k) -> \
        over[t] = over[t] & ~BIT(k); \
        land(t, k) }
#define WAITS(a, k) (a < NODES && n[a].role >= FENCING && \
    (n[a].role == LEADING -> n[a].stored + 1 == k : fence[n[a].term] == k))
#ifdef WITHOUT_JOIN
#define SEEN(k) true
#else
#ifdef WITHOUT_CHAIN_FENCES
#define SEEN(k) (k <= LEN(chain) + 1 || WAITS(0, k) || WAITS(1, k) || WAITS(NODES - 1, k))
#else
#define SEEN(k) (k == LEN(chain) + 1 || WAITS(0, k) || WAITS(1, k) || WAITS(NODES - 1, k))
#endif
#endif
#define WORKS(a, t) (a < NODES && n[a].role >= FENCING && n[a].term == t)
inline land(by_, name_) {
    /* Puts that would replace what was there fail. */
    k = 1;
    do
    :: k <= TERMS -> over[k] = over[k] & ~BIT(name_); k++
    :: else -> break
    od;
    object[name_] = OBJECT(by_, name_);
    if
    :: WORKS(0, by_) || WORKS(1, by_) || WORKS(NODES - 1, by_) -> landed[by_] = landed[by_] | BIT(name_)
    :: else
    fi;
    walk();
    nowStored(by_);
    commitAll()
}
#define LAND_STALE(t) \
    :: d_step { stale[t] != 0 && object[staleName[t]] == 0 && SEEN(staleName[t]) -> object[staleName[t]] = stale[t]; stale[t] = 0; walk() }
#define LAND_SWAP(b) \
    :: d_step { n[b].swap == SENT -> \
        recTerm = n[b].swapTerm; recSet = n[b].swapSet; recComplete = n[b].swapComplete; recLeader = b; \
        swapWon(b); \
        recordChanged() } \
    :: d_step { n[b].lateTerm != 0 -> \
        recTerm = n[b].lateTerm; recSet = n[b].lateSet; recComplete = n[b].lateComplete; recLeader = b; \
        recordChanged() }

proctype Store() {
end:
    do
    LAND(1, 2) LAND(1, 3) LAND(1, 4)
#if TERMS > 1
    LAND(2, 2) LAND(2, 3) LAND(2, 4)
#endif
#if TERMS > 2
    LAND(3, 2) LAND(3, 3) LAND(3, 4)
#endif
#if TERMS > 3
    LAND(4, 2) LAND(4, 3) LAND(4, 4)
#endif
#if PRUNES && TERMS > 1
    LAND_STALE(2)
#if TERMS > 2
    LAND_STALE(3)
#endif
#endif
    LAND_SWAP(0) LAND_SWAP(1)
#if NODES > 2
    LAND_SWAP(2)
#endif
    od;
    skip
}

/* Term 1: node 0 leads, its term entry is on every disk and in the store. */
init {
    d_step {
        told[1] = 1; sent[1] = 1; cuts[1] = 2; fence[1] = 1; landed[1] = 2;
        object[1] = 1 | (1 << 6);
        k = 0;
        do
        :: k < NODES ->
            n[k].id = k; n[k].term = 1; n[k].log = 1; n[k].durable = 1; n[k].applied = 1;
            k++
        :: else -> break
        od;
        n[0].role = LEADING; n[0].set = START_SET; n[0].complete = START_COMPLETE;
        n[0].commit = 1; n[0].stored = 1; n[0].taken = 1;
        n[0].ack[1] = 1; n[0].ack[NODES - 1] = 1
    }
    atomic {
        run Store();
        run Run(0);
        run Run(1);
#if NODES > 2
        run Run(2)
#endif
    }
}
