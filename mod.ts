/**
 * Circuit Amp: find the few attention heads and MLP neurons that decide a task, strengthen only those on any GPU that
 * speaks WebGPU, and prove what changed.
 *
 * ```ts
 * import { generate, Gpu, Model } from "./mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const ids = model.tokenizer.encode("Q: Kim has 24 cups. Kim buys 17 more. How many cups does Kim have?\nA:");
 * const [tokens] = await generate(model, [{ ids }], { maxNewTokens: 48 });
 * console.log(model.tokenizer.decode(tokens!, { skipSpecialTokens: true }));
 * ```
 *
 * @module
 */

// Errors a user can mend
export { DeviceError, DeviceLostError, InputError, NoAdapterError, NonFiniteError } from "./engine/errors.ts";

// The GPU; kernels of one's own are ./gpu
export { Gpu } from "./engine/gpu/gpu.ts";
export type { MemoryUse, OpenOptions, TensorOptions } from "./engine/gpu/gpu.ts";
export type { Tensor } from "./engine/gpu/tensor.ts";
export type { Kernel, ShaderValues } from "./engine/gpu/shader.ts";
export type { MemoryPart } from "./engine/gpu/tensor.ts";
export { tune } from "./engine/ops/tuning.ts";
export type { Tile, Tuning } from "./engine/ops/variants.ts";

// The model
export type { Activation, Architecture, LayerNorms, ModelConfig } from "./engine/model/architecture.ts";
export type { Rope, RopeScaling } from "./engine/model/rope.ts";
export { readConfig } from "./engine/model/config.ts";
export { Model } from "./engine/model/model.ts";
export type { Norm } from "./engine/ops/norm.ts";
export type { LayerWeights, ModelWeights, StorageChoice, WeightSource } from "./engine/model/weights.ts";
export type { ActivationPatch, LoadOptions } from "./engine/model/model.ts";
export { resolveModel } from "./engine/checkpoint/hub.ts";
export type { DownloadProgress, ResolvedSource, SourceOptions } from "./engine/checkpoint/hub.ts";
export type { Snapshot } from "./engine/checkpoint/hub_cache.ts";
export { Checkpoint } from "./engine/checkpoint/checkpoint.ts";
export type { DType, FloatType, TensorInfo } from "./engine/checkpoint/checkpoint.ts";
export { siteKinds } from "./engine/model/sites.ts";
export type { SiteKind, SiteName } from "./engine/model/sites.ts";
export { publishedShapes } from "./engine/model/published_shapes.ts";
export type { ChatMessage, TemplateVariables } from "./engine/model/chat_template.ts";
export { SharedPrefix } from "./engine/model/shared_prefix.ts";
export type { ComputedPrefix } from "./engine/model/prefix_cache.ts";
export { Tokenizer } from "./engine/model/tokenizer.ts";
export { generate } from "./engine/model/generate.ts";
export type { CompletionJournal, GenerationOptions, GenerationRequest } from "./engine/model/generate.ts";
export { score } from "./engine/model/score.ts";
export type { ContinuationScore, ScoreOptions, ScoreRequest } from "./engine/model/score.ts";
export { traceTokens } from "./engine/model/token_trace.ts";
export type {
  ExpectedToken,
  LensReading,
  TokenTrace,
  TokenTraceOptions,
  TracedToken,
} from "./engine/model/token_trace.ts";

// The method
export {
  componentAt,
  componentKinds,
  countSelected,
  kindCounts,
  randomLike,
  selectComponents,
} from "./engine/circuit/components.ts";
export type {
  Component,
  ComponentKind,
  SelectedCount,
  SelectedRows,
  Selection,
} from "./engine/circuit/components.ts";
export type { LocalizationExample, TokenPair } from "./engine/circuit/localization.ts";
export { addContrast, greedyTraces, traceDefaults } from "./engine/circuit/traces.ts";
export type { ProblemTraces, Trace, TraceOptions, TraceProgress } from "./engine/circuit/traces.ts";
export { branchingPivots, prefixPivots } from "./engine/circuit/pivots.ts";
export type { PivotMethod, Pivots } from "./engine/circuit/pivots.ts";
export { evaluateMask } from "./engine/circuit/mask_pass.ts";
export type { MaskEvaluation } from "./engine/circuit/mask_pass.ts";
export { learnMask, maskDefaults } from "./engine/circuit/mask_training.ts";
export type { LearnedMask, MaskEnding, MaskOptions } from "./engine/circuit/mask_training.ts";
export { amplify } from "./engine/circuit/amplify.ts";
export type { Amplified, AmplifyOptions, UpdateRounds, ValidationPoint } from "./engine/circuit/amplify.ts";
export type { TrainingSnapshot, TrainingStore } from "./engine/circuit/training_store.ts";
export { SparseUpdate } from "./engine/circuit/update.ts";
export type { AnchorSequence } from "./engine/circuit/anchor_passes.ts";
export type { LoraOptions } from "./engine/circuit/lora.ts";
export type { OptimizerName, RowValues, UpdateOptions } from "./engine/circuit/update.ts";
export type { PairResults } from "./engine/circuit/pair_passes.ts";
export type { OverlayChunk, RowChunk, RowOverlay, Storage, Weight } from "./engine/ops/weight.ts";
export type { Objective } from "./engine/ops/loss.ts";
export { fullGradient } from "./engine/circuit/full_gradient.ts";
export { applyPatch, extractPatch, patchFormats, readPatch, writePatch } from "./engine/patch/patch.ts";
export type { Patch, PatchTensor, RowChange } from "./engine/patch/patch.ts";
export { PatchStack } from "./engine/patch/patch_stack.ts";
export { applyRounded, Fusion } from "./engine/patch/fusion.ts";
export { exportPatch, patchInfo } from "./engine/patch/patch_info.ts";
export type { PatchedMatrix, PatchInfo } from "./engine/patch/patch_info.ts";
export type { PatchedComponent } from "./engine/patch/patched_components.ts";
export { readCard } from "./engine/patch/patch_card.ts";
export type { PatchCard } from "./engine/patch/patch_card.ts";
export { mergePatches, scalePatch } from "./engine/patch/combine.ts";
export type { Collision, MergedPatch } from "./engine/patch/combine.ts";
export type { MatrixSurvival, Survival } from "./engine/patch/fusion.ts";
export { roundings } from "./engine/checkpoint/rounding.ts";
export type { Rounding } from "./engine/checkpoint/rounding.ts";

export { memoryStages, planMemory, whatWouldFit, workloadDefaults } from "./engine/circuit/memory_plan.ts";
export type {
  MemoryPlan,
  MemoryStage,
  PlanRequest,
  StagePlan,
  Workload,
} from "./engine/circuit/memory_plan.ts";

// Evaluation; the rest of it is ./evaluation
export { loadProblems } from "./engine/evaluation/data.ts";
export type { Problem } from "./engine/evaluation/data.ts";
export type { PuzzleProblem } from "./engine/evaluation/puzzles/problem.ts";
export type { PuzzleInstance } from "./engine/evaluation/puzzles/puzzle.ts";
export { splitProblems } from "./engine/evaluation/split.ts";
export type { Split, SplitFractions } from "./engine/evaluation/split.ts";
export type { ScoringOptions } from "./engine/evaluation/scoring.ts";
export type { ThinkingOptions } from "./engine/evaluation/thinking.ts";
export { encodePrompt, plainTemplate, promptPrefix } from "./engine/evaluation/prompt.ts";
export type { PromptFormat } from "./engine/evaluation/prompt.ts";
export type { Shot, Shots } from "./engine/evaluation/shots.ts";
export { evaluateTask } from "./engine/evaluation/tasks.ts";
export type { PromptOptions, Task, TaskPrompt, TaskResult } from "./engine/evaluation/tasks.ts";
export { CustomScorer } from "./engine/evaluation/custom_scorer.ts";
export type { ScorerInput } from "./engine/evaluation/custom_scorer.ts";
export type { ScorerName, Scoring } from "./engine/evaluation/scorers.ts";

// Whole runs
export { runAmplify, runIdentify } from "./engine/run/amplify_run.ts";
export type { RunOptions } from "./engine/run/amplify_run.ts";
export { promptOptions, promptSettings } from "./engine/run/prompt_settings.ts";
export { runEvaluate } from "./engine/run/evaluation_run.ts";
export type { BufferLimits, SizedBuffer } from "./engine/gpu/sizing_gpu.ts";
export type { HarnessResults, ResultRow } from "./engine/evaluation/harness/results.ts";
export type { PuzzleChoices } from "./engine/evaluation/puzzles/catalog.ts";
export type { SizeResult } from "./engine/evaluation/puzzles/complexity.ts";
export type { PlanOutcome } from "./engine/evaluation/puzzles/task.ts";
export { runTasks } from "./engine/run/task_run.ts";
export type { TaskChoices, TaskResults, TaskRunOptions } from "./engine/run/task_run.ts";
export type { EvaluationChoices, EvaluationReport } from "./engine/run/evaluation_run.ts";
export { runChat, runGenerate } from "./engine/run/generation_run.ts";
export type { OnText } from "./engine/run/completion_stream.ts";
export type {
  ChatOptions,
  Completion,
  GenerationChoices,
  GenerationReport,
  GenerationSettings,
  GenerationSpeed,
  TextOptions,
} from "./engine/run/generation_run.ts";
export { inspectAdapter, reportMemory } from "./engine/run/doctor.ts";
export type { AdapterReport, MemoryChoices, MemoryReport } from "./engine/run/doctor.ts";
export type { Progress } from "./engine/progress.ts";
export type { ExpectedStage } from "./engine/run/run_stages.ts";
export type { StartOptions } from "./engine/run/start_options.ts";
export { defaultRates } from "./engine/run/settings/rates.ts";
export { runSettings } from "./engine/run/settings/run.ts";
export type { RunChoices, RunSettings } from "./engine/run/settings/run.ts";
export { controlNames } from "./engine/run/settings/control_names.ts";
export type { ControlName } from "./engine/run/settings/control_names.ts";
export type { AbilitySettings, DataSettings, EvaluationSettings } from "./engine/run/settings/evaluation.ts";
export type { MaskSettings, TraceSettings, UpdateSettings } from "./engine/run/settings/method.ts";
export type { PresetName } from "./engine/run/settings/preset.ts";
export type { RoundSettings } from "./engine/run/settings/rounds.ts";
export type { MemorySettings, ModelSettings } from "./engine/run/settings/model.ts";
export type { PromptChoices, PromptSettings, ShotsChoice } from "./engine/run/settings/prompt.ts";
export type { SelectionSettings } from "./engine/run/settings/selection.ts";
export { selectionMethods } from "./engine/circuit/selection/select.ts";
export type { SelectionMethod } from "./engine/circuit/selection/select.ts";
export type { CaptureDistribution, Overlap } from "./engine/circuit/selection/capture.ts";
export type { Circuit } from "./engine/run/selection_stage.ts";
export type { Some } from "./engine/run/settings/setting.ts";
export { fuseCheckpoint, patchCheckpoint, revertCheckpoint } from "./engine/patch/patched_checkpoint.ts";
export type { FuseReport } from "./engine/patch/patched_checkpoint.ts";
export { describeSummary } from "./engine/run/summary_text.ts";
export type {
  ArmOutcome,
  ArmSelection,
  BaseAndAmplified,
  ControlSummary,
  Flips,
  FusedSummary,
  SelectionRecord,
  Summary,
} from "./engine/run/records.ts";
export { limits, verifyGolden } from "./engine/verify/golden.ts";
export type { Check } from "./engine/verify/golden.ts";
export { verifyShape } from "./engine/verify/full_width.ts";
export type { WrittenCheckpoint } from "./engine/verify/random_checkpoint.ts";
export type { ShapeRun } from "./engine/verify/full_width.ts";
