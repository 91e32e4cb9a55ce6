"""A day of mixed work on a small fleet, whose nodes fail now and then: lived through by every body in virtual time."""

from __future__ import annotations

DAY_S = 24 * 3600
HOURS = 24

FLEET = """
apiVersion: bayplan.dev/v1
kind: Fleet
metadata: {name: day}
seed: 3
nodes:
- {name: h100, count: 8, gpu: h100-80gb, cpu: "96", memory: 1Ti, rackSize: 4}
- {name: mig, count: 2, gpu: a100-80gb-mig, gpus: 4, cpu: "64", memory: 512Gi}
- {name: shared, count: 2, gpu: a100-80gb-shared, gpus: 4, cpu: "64", memory: 512Gi}
teams:
- {name: red, quota: {h100: 32, mig: 4, shared: 4}}
- {name: blue, quota: {h100: 32, mig: 4, shared: 4}}
priorities: {production: 1000, research: 100, batch: 0}
work:
- {name: pretrain, pods: [4], gpus: 8, nodes: h100, rack: required, priority: research, everySeconds: 5400,
   runtimeSeconds: [1800, 5400]}
- {name: finetune, pods: [2, 3], gpus: 4, nodes: h100, rack: preferred, priority: research, everySeconds: 2400,
   runtimeSeconds: [600, 3600]}
- {name: urgent, pods: [2], gpus: 8, nodes: h100, priority: production, everySeconds: 3600, runtimeSeconds: [600, 1800]}
- {name: sweep, gpus: 1, nodes: h100, priority: batch, first: 20, everySeconds: 600, runtimeSeconds: [120, 3600]}
- {name: notebook, partition: 1g.20gb, nodes: mig, priority: research, everySeconds: 1200,
   runtimeSeconds: [600, 5400]}
- {name: chat, gpuMemory: 12Gi, nodes: shared, priority: production, everySeconds: 1200, runtimeSeconds: [900, 7200]}
outages:
- {node: h100-003, atSeconds: 5266, seconds: 3317}
- {node: mig-000, atSeconds: 11598, seconds: 178}
- {node: h100-007, atSeconds: 21505, seconds: 2718}
- {node: h100-005, atSeconds: 21792, seconds: 523}
- {node: h100-007, atSeconds: 24302, seconds: 1619}
- {node: shared-000, atSeconds: 28539, seconds: 1081}
- {node: h100-006, atSeconds: 28610, seconds: 1731}
- {node: h100-004, atSeconds: 30380, seconds: 713}
- {node: h100-002, atSeconds: 38129, seconds: 628}
- {node: h100-006, atSeconds: 43324, seconds: 578}
- {node: h100-000, atSeconds: 44089, seconds: 917}
- {node: h100-005, atSeconds: 52110, seconds: 741}
- {node: h100-006, atSeconds: 53954, seconds: 2268}
- {node: h100-006, atSeconds: 65231, seconds: 804}
- {node: h100-006, atSeconds: 80511, seconds: 1629}
- {node: h100-003, atSeconds: 82427, seconds: 1759}
- {node: h100-004, atSeconds: 83406, seconds: 1140}
- {node: h100-001, atSeconds: 83769, seconds: 3408}
"""
