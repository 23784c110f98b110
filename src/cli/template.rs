use clap::Args;
use unforget::context::Context;
use unforget::error::Result;
use unforget::experiment::Recipe;
use unforget::model::Checkpoint;
use unforget::tokens::TemplateOptions;

/// What the chat template of the model is given beside the messages.
#[derive(Args, Default)]
#[command(next_help_heading = "Chat template")]
pub struct Template {
    /// Date for a template that writes today's, such as 2025-01-31 or 2025-01-31T14:05 [default: now, local time]
    #[arg(long, value_name = "DATE")]
    template_date: Option<String>,
    /// Variable of the chat template, such as enable_thinking=false; VALUE is JSON or else text. Repeat for several
    #[arg(long, value_name = "NAME=VALUE")]
    template_arg: Vec<String>,
}

impl Template {
    /// What they say.
    pub fn options(&self) -> Result<TemplateOptions> {
        TemplateOptions::parse(self.template_date.as_deref(), &self.template_arg)
    }

    /// The model called `name`, asked in this way.
    pub fn checkpoint(&self, cx: &Context, name: &str) -> Result<Checkpoint> {
        let options = self.options()?;
        Ok(Checkpoint::open(super::model_folder(cx, name)?)?.with_template(options))
    }

    /// `recipe` with what they say in the place of what it says.
    pub fn apply(&self, recipe: Recipe) -> Result<Recipe> {
        let TemplateOptions { date: template_date, args: template_args } =
            self.options()?.over(&recipe.template_options());
        let recipe = Recipe { template_date, template_args, ..recipe };
        recipe.check()?;
        Ok(recipe)
    }
}
