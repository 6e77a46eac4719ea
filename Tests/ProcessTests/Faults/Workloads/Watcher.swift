import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf
import Synchronization
import T4Conformance

/// Watches all keys through one node at a time; where that goes away, it goes on behind the last revision it has seen.
final class Watcher: Sendable {
    /// Everything that it has seen, over all connections.
    let changes = Observed<[Change]>([])
    /// What it was told that cannot be.
    let faults = Mutex<[String]>([])
    private let world: FaultWorld
    private let start: Int64

    /// - Parameter start: It sees what comes behind this revision.
    init(_ world: FaultWorld, behind start: Int64) {
        self.world = world
        self.start = start
    }

    private var last: Int64 { max(changes.value.last?.revision ?? 0, start) }

    /// Watches until everything up to a revision has come. It is known once the world is over.
    func run(first: Int, seed: UInt64, end: Observed<Int64?>) async {
        var random = SeededGenerator(seed: seed)
        var node = first
        while !Task.isCancelled, end.value.map({ last < $0 }) ?? true {
            do {
                let client = try await EtcdClient.connect(
                    to: world.cluster.cluster.node(node), patience: .seconds(3))
                await watch(client, for: Int.random(in: 1...400, using: &random), end)
                await client.close()
            } catch {
                await pause(.milliseconds(50))
            }
            // Mostly it stays, and waits for its node; now and then it looks at another one, which may be behind.
            if Int.random(in: 0..<3, using: &random) == 0 {
                node = world.cluster.numbers.randomElement(using: &random) ?? first
            }
        }
    }

    /// Watches on one connection, until that is lost or so many changes have come.
    private func watch(_ client: EtcdClient, for count: Int, _ end: Observed<Int64?>) async {
        let tap = WatchTap(self)
        let create = EtcdWatchRequest.with { request in
            request.createRequest = EtcdWatchCreateRequest.with {
                $0.key = .init([0])
                $0.rangeEnd = .init([0])
                $0.startRevision = last + 1
            }
        }
        let progress = EtcdWatchRequest.with { $0.progressRequest = EtcdWatchProgressRequest() }
        guard let first: [UInt8] = try? create.serializedBytes(), let next: [UInt8] = try? progress.serializedBytes()
        else { return }
        let call = client.rpc.stream(client.rpc.method("/etcdserverpb.Watch/Watch")) { _ in tap }
        call.send(first)
        let target = changes.value.count + count
        while !tap.hasEnded.value, changes.value.count < target {
            if let end = end.value, last >= end { break }
            if tap.isCreated.load(ordering: .relaxed) { call.send(next) }
            _ = try? await tap.hasEnded.wait(for: "the end", within: .milliseconds(300)) { $0 ? true : nil }
        }
        tap.isDeaf.store(true, ordering: .sequentiallyConsistent)
        call.cancel()
        _ = try? await tap.hasEnded.wait(for: "the end of a cancelled call", within: .seconds(60)) { $0 ? true : nil }
    }

    fileprivate func fault(_ text: String) { faults.withLock { $0.append(text) } }
}

/// One stream of a watcher.
private final class WatchTap: ClientStreamHandler, Sendable {
    let hasEnded = Observed(false)
    let isCreated = Atomic(false)
    /// What comes now is for nobody.
    let isDeaf = Atomic(false)
    private let watcher: Watcher
    /// It was said that everything up to this revision has come.
    private let promised = Atomic<Int64>(0)

    init(_ watcher: Watcher) { self.watcher = watcher }

    func onMessage(_ message: RawSpan) {
        guard !isDeaf.load(ordering: .sequentiallyConsistent) else { return }
        let bytes = message.withUnsafeBytes { Array($0) }
        guard let answer = try? EtcdWatchResponse(serializedBytes: bytes) else {
            return watcher.fault("an answer that cannot be read")
        }
        if answer.canceled {
            return watcher.fault("cancelled: \(answer.cancelReason), compacted \(answer.compactRevision)")
        }
        if answer.created { return isCreated.store(true, ordering: .relaxed) }
        let promised = promised.load(ordering: .relaxed)
        if answer.events.isEmpty {
            self.promised.store(max(promised, answer.header.revision), ordering: .relaxed)
            return
        }
        let changes = answer.events.map { event in
            Change(
                revision: event.kv.modRevision, key: String(decoding: event.kv.key, as: UTF8.self),
                value: event.type == .delete ? nil : String(decoding: event.kv.value, as: UTF8.self),
                version: event.kv.version)
        }
        if let early = changes.first(where: { $0.revision <= promised }) {
            watcher.fault("\(early) after progress \(promised)")
        }
        watcher.changes.update { $0 += changes }
    }

    func onEnd(_ status: RPCStatus) { hasEnded.update { $0 = true } }
    func onWritable() {}
}
