#!/usr/bin/env python3
"""The main job, both drivers in turn; writes its part of docs/BENCHMARKS.md.

    cargo build --release -p osmo-controller && benches/example.py [ROUNDS]

One warm-up run generates the data set, which is not counted. Each figure is the
median of the counted runs, with the least and the greatest beside it.
"""
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNNER = ROOT / "target/release/osmo-controller"
DRIVERS = ["uring", "epoll"]
GIB, MIB = 1 << 30, 1 << 20
BEGIN, END = "<!-- example: begin -->", "<!-- example: end -->"


def run(driver, state):
    command = [RUNNER, "run", ROOT / "examples/train.yaml", "--json", "--quiet"]
    command += ["--io", driver, "--state", state]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return json.loads(done.stdout)["tasks"][0]["sidecar"]


def figures(sidecar):
    phases = {phase["phase"]: phase for phase in sidecar["phases"]}
    found = {"peak RSS of osmo-ctrl, MiB": sidecar["rss_bytes_peak"] / MIB}
    for name in ("download", "upload"):
        phase = phases[name]
        gib = phase["bytes"] / GIB
        found[f"{name}, GiB/s"] = gib / phase["duration_s"]
        found[f"{name}, CPU-s/GiB of osmo-ctrl"] = phase["cpu_s"] / gib
    return found


def table(runs):
    lines = ["| | " + " | ".join(DRIVERS) + " |", "|---|" + "---|" * len(DRIVERS)]
    for name in runs[DRIVERS[0]][0]:
        cells = []
        for driver in DRIVERS:
            values = [one[name] for one in runs[driver]]
            middle = statistics.median(values)
            cells.append(f"{middle:.2f} ({min(values):.2f}–{max(values):.2f})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    runs = {driver: [] for driver in DRIVERS}
    with tempfile.TemporaryDirectory() as state:
        run(DRIVERS[0], state)
        for _ in range(rounds):
            for driver in DRIVERS:
                runs[driver].append(figures(run(driver, state)))
    text = f"""`examples/train.yaml`: 604 objects, 1.2 GiB in; 6 files, 48 MiB out. Runner, store,
service, sidecar and command share {os.cpu_count()} CPUs of one machine ({platform.machine()}, Linux
{platform.release().split("-")[0]}); plain HTTP over loopback; every file is checked against the store's
CRC64NVME and synced to disk. Medians of {rounds} runs of each driver in turn
(least–greatest). The bar: `osmo-ctrl` stays below 64 MiB.

{table(runs)}
"""
    page = ROOT / "docs/BENCHMARKS.md"
    before, rest = page.read_text().split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
    print(text)


if __name__ == "__main__":
    main()
