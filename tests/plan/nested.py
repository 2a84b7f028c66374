"""Networks of blocks within blocks, with skips and several outputs, for the planner's tests."""

from __future__ import annotations

UNITS = """\
resgraph: 1
title: Blocks within blocks
units:
  se:
    params: [{ratio: 4}]
    paths:
      gate:
        from: x
        ops:
          - global_avg_pool: {keepdim: true}
          - conv: {kernel: 1, channels: in / ratio, bias: true}
          - relu
          - conv: {kernel: 1, channels: in, bias: true}
          - sigmoid
      out: {from: [x, gate], ops: [mul]}
  pre:
    params: [width, {stride: 1}]
    paths:
      out: {from: x, ops: [bn, relu, {conv: {kernel: 3, channels: width, stride: stride}}]}
  body:
    params: [width, {stride: 1}]
    paths:
      h: {from: x, ops: [{conv: {kernel: 1, channels: width, stride: stride}}], when: stride != 1 or in != width}
      F: {from: x, ops: [{pre: {width: width, stride: stride}}, {pre: {width: width}}, se]}
      out: {from: [h, F], ops: [add]}
"""

SE = (
    UNITS
    + """\
network:
  params: {classes: 10}
  input: [3, 16, 16]
  stem: [{conv: {kernel: 3, channels: 8}}]
  stages:
    c2: [{body: {width: 8}, repeat: 3}]
    c3: [{body: {width: 16, stride: 2}}, {body: {width: 16}, repeat: 2}]
  head: [bn, relu, global_avg_pool, {linear: {features: classes}}]
"""
)
"""A squeeze-and-excitation network whose layers stand in units in units."""

UNET = (
    UNITS
    + """\
  up:
    inputs: [below, skip]
    params: [width]
    paths:
      s: {from: skip, ops: [{conv: {kernel: 3, channels: width, stride: 2}}]}
      out: {from: [below, s], ops: [concat, relu, {pre: {width: width}}]}
network:
  params: {classes: 10}
  input: [3, 16, 16]
  stem: [{conv: {kernel: 3, channels: 8}}, relu]
  stages:
    c2: [{body: {width: 8}, repeat: 2}]
    c3: [{body: {width: 16, stride: 2}}, {body: {width: 16}}]
    c4: [{body: {width: 16}}]
    d3: {from: [c4, c2], units: [{up: {width: 16}}, {body: {width: 16}}]}
  head: [bn, relu, global_avg_pool, {linear: {features: classes}}]
"""
)
"""A skip over stages, which the last stage reads."""

SEVERAL = (
    UNITS
    + """\
  split:
    params: [width]
    paths:
      a: {from: x, ops: [{conv: {kernel: 1, channels: width}}]}
      b: {from: x, ops: [{conv: {kernel: 1, channels: width}}, relu]}
    outputs: [a, b]
  cross:
    inputs: [a, b]
    params: [width]
    paths:
      c: {from: a, ops: [{pre: {width: width}}]}
      d: {from: b, ops: [{body: {width: width}}]}
      one: {from: [c, b], ops: [add, relu]}
      two: {from: [d, a], ops: [add]}
    outputs: {one: two, two: one}
  merge:
    inputs: [a, b]
    paths: {out: {from: [a, b], ops: [mul]}}
network:
  params: {classes: 10}
  input: [3, 16, 16]
  stem: [{conv: {kernel: 3, channels: 8}}]
  stages:
    c2: [{body: {width: 8}, repeat: 2}]
    streams: [{split: {width: 8}}, {cross: {width: 8}, repeat: 3}]
    m: [merge]
  head: [bn, relu, global_avg_pool, {linear: {features: classes}}]
  outputs: {logits: head, p2: c2, side: streams.one}
"""
)
"""Two streams through a row of units, and maps beside the logits."""

BEFORE = """\
resgraph: 1
title: Ops without weights first
units:
  gate:
    paths:
      g: {from: x, ops: [sigmoid]}
      s: {from: x, ops: [{scale: {factor: 0.5}}, relu]}
      m: {from: [g, s], ops: [mul]}
      out: {from: [x, m], ops: [add]}
  gated:
    paths:
      w: {from: x, ops: [{conv: {kernel: 3, channels: in}}]}
      g: {from: x, ops: [sigmoid]}
      out: {from: [w, g, x], ops: [mul]}
network:
  params: {classes: 10}
  input: [3, 16, 16]
  stem: [sigmoid, {max_pool: {kernel: 2}}]
  stages:
    a: [{gate: {}, repeat: 2}, {gated: {}, repeat: 2}]
  head: [relu, {max_pool: {kernel: 2}}, flatten, {linear: {features: classes}}]
"""
"""Stem and first units have no weights: nobody asks for their gradients."""

BESIDE = """\
resgraph: 1
title: The images go along
units:
  both:
    outputs: {maps: m, images: i}
    paths:
      m: {from: x, ops: [{conv: {kernel: 3, channels: 4}}]}
      i: {from: x, ops: [sigmoid]}
  step:
    inputs: [maps, images]
    outputs: {maps: m, images: i}
    paths:
      w: {from: images, ops: [{conv: {kernel: 1, channels: maps.c}}, bn, relu]}
      m: {from: [maps, w], ops: [mul, relu, {conv: {kernel: 3, channels: maps.c}}]}
      i: {from: images, ops: [sigmoid, {avg_pool: {kernel: 3, stride: 1, padding: 1}}]}
  join:
    inputs: [maps, images]
    paths:
      s: {from: images, ops: [{scale: {factor: 2}}, relu, flatten]}
      f: {from: maps, ops: [relu, flatten]}
      out: {from: [f, s], ops: [concat]}
network:
  params: {classes: 10}
  input: [3, 16, 16]
  stages:
    b: [both]
    s: [{step: {}, repeat: 4}]
    j: [join]
  head: [{linear: {features: classes}}]
"""
"""Segments with an output that needs a gradient, and one that needs none."""

NETWORKS = {
    "se": SE,
    "unet": UNET,
    "several": SEVERAL,
    "before": BEFORE,
    "beside": BESIDE,
}
