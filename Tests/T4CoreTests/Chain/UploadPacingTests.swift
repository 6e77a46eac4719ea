// Goal: an upload waits for those who are about to write, and never long. Method: time that stands still until the test
// moves it, and puts that wait.
import Logging
import T4Protocols
import Testing

@testable import T4Core

@Suite struct UploadPacingTests {
    @Test func holdsBackForATenthOfWhatUploadsTake() {
        var pacing = UploadPacing()
        #expect(pacing.hold == .zero)
        pacing.ended(after: .milliseconds(40))
        #expect(pacing.hold == .milliseconds(4))
        // Lately, not the last time.
        pacing.ended(after: .milliseconds(80))
        #expect(pacing.hold == .microseconds(4500))
        for _ in 0..<100 { pacing.ended(after: .milliseconds(20)) }
        #expect(pacing.hold < .microseconds(2100) && pacing.hold >= .milliseconds(2))
        for _ in 0..<100 { pacing.ended(after: .seconds(30)) }
        #expect(pacing.hold == .milliseconds(10))
    }

    @Test func countsWhoWasAnsweredSinceTheLatestUpload() {
        var pacing = UploadPacing()
        pacing.answered(3)
        pacing.answered(2)
        #expect(pacing.answered == 5)
        pacing.began()
        #expect(pacing.answered == 0)
    }

    /// Time that stands still, and pauses that end when the test says so.
    private final class Time: ElapsedClock {
        private let state = Monitor((now: Duration.zero, pauses: [(length: Duration, end: FirstValue<Void>)]()))

        var now: Duration { state.withLock { $0.now } }

        func pass(_ time: Duration) { state.withLock { $0.now += time } }

        func pause(_ length: Duration) async {
            let end = FirstValue<Void>()
            state.withLock { $0.pauses.append((length, end)) }
            state.broadcast()
            await end.wait()
        }

        /// Waits for a pause, ends it, and gives its length.
        func endPause() -> Duration {
            let pause = state.wait { $0.pauses.isEmpty ? nil : $0.pauses.removeFirst() }
            pause.end.give(())
            return pause.length
        }
    }

    /// An uploader that has uploaded entries 1 to 3 in 100 ms, and is uploading entry 4.
    private struct Run {
        let store: HeldStore
        let time = Time()
        let uploader: LogUploader
        private let thread: SystemThread

        init(_ base: any ObjectStore) {
            store = HeldStore(base)
            var settings = LogUploader.Settings()
            settings.isSynchronous = true
            let time = time
            let uploader = LogUploader(
                store: store, databaseID: LogFixture.databaseID, term: 1, end: .zero, settings: settings,
                timer: BackoffTimer(clock: time) { await time.pause($0) }, logger: .silent, readBack: { _ in [] },
                onFailure: { Issue.record("\($0)") })
            self.uploader = uploader
            thread = SystemThread(name: "uploader") { uploader.run() }
            uploader.add(LogFixture.entries(1...3))
            store.waitForHeld(1)
            uploader.add(LogFixture.entries(4...4))
            store.waitForHeld(2)
            time.pass(.milliseconds(100))
            store.letThrough(0)
            _ = uploader.wait(for: 3)
        }

        func add(_ index: Int) { uploader.add(LogFixture.entries(index...index)) }

        func stop() {
            store.open()
            _ = uploader.wait(for: uploader.status.last.index)
            uploader.stop()
            thread.join()
        }
    }

    @Test func whoeverWasAnsweredComesAlong() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let run = Run(base)
            // Three were answered: they are about to write.
            for index in 5...7 { run.add(index) }
            run.store.waitForHeld(2)
            run.stop()
            try expect(base, holds: ["1-3 of 1", "4-4 of 1", "5-7 of 1"])
            #expect(run.time.endPause() == .milliseconds(10))
        }
    }

    @Test func nobodyIsWaitedForLonger() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let run = Run(base)
            run.add(5)
            #expect(run.time.endPause() == .milliseconds(10))
            run.store.waitForHeld(2)
            run.add(6)
            run.stop()
            try expect(base, holds: ["1-3 of 1", "4-4 of 1", "5-5 of 1", "6-6 of 1"])
        }
    }
}
