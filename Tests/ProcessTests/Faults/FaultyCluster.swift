import EtcdAPI
import Foundation
import SwiftProtobuf
import T4Conformance

/// A cluster around S3 whose network, clocks and disks a test has in its hands.
final class FaultyCluster: Sendable {
    let cluster: ClusterUnderTest
    let wires: Wires
    private let shims: [Int: FaultShim]
    private let place: StorePlace

    var numbers: [Int] { shims.keys.sorted() }

    private init(_ cluster: ClusterUnderTest, _ wires: Wires, _ shims: [Int: FaultShim], _ place: StorePlace) {
        (self.cluster, self.wires, self.shims, self.place) = (cluster, wires, shims, place)
    }

    /// Makes a cluster of three, all in sync, and sees to it that none of its processes is left.
    static func with<Result: Sendable>(
        in folder: URL, seed: UInt64, options: [String] = [], _ body: (FaultyCluster) async throws -> Result
    ) async throws -> Result {
        var generator = SeededGenerator(seed: .random(in: 0...UInt64.max))
        let place = try await StorePlace(.s3, in: folder)
        guard let store = place.service.flatMap({ UInt16($0.endpoint.split(separator: ":").last ?? "") }) else {
            throw ProcessFailure("the store has no port")
        }
        let library = try await FaultShim.build(in: folder)
        var (peers, shims): ([Int: UInt16], [Int: FaultShim]) = ([:], [:])
        for number in 1...3 {
            peers[number] = try Sockets.freePort(using: &generator)
            shims[number] = try FaultShim(library, file: folder.appending(path: "faults-\(number)"))
        }
        let wires = try Wires(peers: peers, store: store, seed: seed)
        let (ports, faults) = (peers, shims)
        let surroundings = ClusterUnderTest.Surroundings(
            store: { number in
                guard let port = number.flatMap(wires.storePort) else { return place.flags("t4/") }
                return [
                    "--s3-bucket", S3Service.bucket, "--s3-prefix", "t4/", "--s3-endpoint", "http://127.0.0.1:\(port)",
                ]
            },
            environment: { number in
                place.environment.merging(number.flatMap { faults[$0]?.environment } ?? [:]) { $1 }
            },
            whenLaunched: { wires.runs($0, $1.pid) })
        let nodeOptions = { @Sendable (number: Int) -> [String] in
            [
                "--peer-listen", "127.0.0.1:\(ports[number] ?? 0)",
                "--advertise-peer", "127.0.0.1:\(wires.peerPort(of: number) ?? 0)",
            ] + options
        }
        return try await ClusterUnderTest.with(3, in: folder, surroundings, options: nodeOptions) { cluster in
            try await cluster.untilInSync(3)
            return try await body(FaultyCluster(cluster, wires, faults, place))
        }
    }

    func shim(_ number: Int) throws -> FaultShim {
        guard let shim = shims[number] else { throw ProcessFailure("there is no node \(number)") }
        return shim
    }

    /// Network, clocks and disks are well.
    func heal() throws {
        wires.heal()
        for shim in shims.values {
            try shim.setSyncDelay(.zero)
            try shim.setDisk(isFull: false)
        }
    }

    /// Nodes that say that they lead, with their terms; one that does not answer within a second says nothing.
    func leaders() async throws -> [Int: UInt64] {
        var leaders: [Int: UInt64] = [:]
        for number in cluster.numbers {
            do {
                let client = try await EtcdClient.connect(to: cluster.node(number), patience: .seconds(1))
                let status = try await client.call("Maintenance/Status", EtcdStatusRequest(), EtcdStatusResponse.self)
                await client.close()
                if status.leader == status.header.memberID { leaders[number] = status.raftTerm }
            } catch {
                continue
            }
        }
        return leaders
    }

    /// The node that leads, once one does.
    func leader() async throws -> Int {
        while true {
            if let leader = try await leaders().max(by: { $0.value < $1.value }) { return leader.key }
            await pause(.milliseconds(50))
        }
    }

    /// Hands leadership over, if that is possible just now.
    func handOver(to heir: Int) async throws {
        do {
            let to = try await EtcdClient.connect(to: cluster.node(heir), patience: .seconds(2))
            let target = try await to.memberID()
            await to.close()
            let from = try await EtcdClient.connect(to: cluster.node(leader()), patience: .seconds(5))
            let request = EtcdMoveLeaderRequest.with { $0.targetID = target }
            _ = try await from.call("Maintenance/MoveLeader", request, EtcdMoveLeaderResponse.self)
            await from.close()
        } catch {
            // It is not in sync just now, leads already, or starts anew.
        }
    }
}

/// Lets time pass where the course of a test is a matter of time: between tries, and while a fault lasts. Nothing is waited for so.
func pause(_ time: Duration) async {
    await withCheckedContinuation { continuation in
        let nanoseconds = time.components.seconds * 1_000_000_000 + time.components.attoseconds / 1_000_000_000
        DispatchQueue.global().asyncAfter(deadline: .now() + .nanoseconds(Int(nanoseconds))) { continuation.resume() }
    }
}
