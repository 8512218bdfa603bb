"""A kind of a program's own: class, controller and manifest.

A Widget wants some parts. Its controller keeps one ConfigMap per part, names it in the status, and
says Ready when all are there.
"""

import knative as kn


class Widget(kn.Object):
    API_VERSION = "shop.example.dev/v1"
    KIND = "Widget"


def reconcile(widget):
    parts = int(widget.spec.parts)
    if not 1 <= parts <= 8:
        return {"observedGeneration": widget.metadata.generation, "conditions": [
            {"type": "Ready", "status": "False", "reason": "BadParts",
             "message": f"expected 1 <= {parts} <= 8: spec.parts"}]}
    made = []
    for part in range(1, parts + 1):
        name = f"{widget.name}-part-{part}"
        platform.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
        made.append(name)
    return {"observedGeneration": widget.metadata.generation, "made": made,
            "conditions": [{"type": "Ready", "status": "True"}]}


platform = kn.Platform(listen=None, kinds=[kn.Kind(Widget, "widgets", reconcile)])
with platform:
    [lamp] = platform.apply_text(
        "{apiVersion: shop.example.dev/v1, kind: Widget, metadata: {name: lamp}, spec: {parts: 3}}")
    lamp.wait_ready()
    for part in lamp.get().status.made:
        print("made", part)
    toy = platform.apply(Widget("toy", spec={"parts": 9}))
    try:
        toy.wait_ready()
    except kn.errors.FailedPrecondition as refused:
        print("refused:", refused.detail.rpartition("BadParts: ")[2])
